"""What comes next. `decide(spec, state)` is a pure function from a loop and a state to one command.

The transitions a loop file does not spell out are in one table, `outcomes.DEFAULTS`; `NEXT` there means the phase that
follows in the file, and `done` after the last. Coming back to the first phase starts the next iteration.
"""

from __future__ import annotations

from netra_loop.core.outcomes import DEFAULTS, NEXT
from netra_loop.core.records import Verdict
from netra_loop.core.spec import LoopSpec, PhaseSpec
from netra_loop.core.state import Mode, State, Status
from netra_loop.values import dataclass

MAX_RECOVERIES = 3

_TELLING = frozenset({"run", "commit", "compare", "wait"})  # what these say is told nowhere else


@dataclass(frozen=True)
class Start:
    """Append the intent, then let the phase act."""

    phase: str
    iteration: int
    attempt: int


@dataclass(frozen=True)
class Recover:
    """An intent without outcome stands open: let the phase find out how far it got."""

    phase: str
    iteration: int
    attempt: int


@dataclass(frozen=True)
class GiveUp:
    """The open phase ended this process's predecessors too often: stop with exit 3."""

    phase: str
    recoveries: int


@dataclass(frozen=True)
class Pause:
    """The loop file asks to pause here."""

    why: str


@dataclass(frozen=True)
class End:
    """The session is over with `status`, a final one, which `reason` does not say once more."""

    status: Status
    exit_code: int
    reason: str


Command = Start | Recover | GiveUp | Pause | End


def target_of(spec: LoopSpec, phase: PhaseSpec, outcome: str) -> str:
    """Where `outcome` of `phase` leads: a phase's name, done, stop or pause."""
    target = phase.next.get(outcome, DEFAULTS[outcome])
    if target is not NEXT:
        return target
    following = _following(spec, phase.name)
    if following is None:
        return "done" if outcome == "ok" else "stop"
    return following


def decide(spec: LoopSpec, state: State) -> Command:
    """The one thing to do now. Asks for nothing outside its arguments; calling it twice gives the same answer."""
    if state.mode is Mode.ENDED:
        return End(state.status, state.exit_code or 0, state.reason or "")
    if state.mode is Mode.OPEN:
        assert state.phase is not None
        if state.recoveries >= MAX_RECOVERIES:
            return GiveUp(state.phase, state.recoveries)
        return Recover(state.phase, state.iteration, state.attempt)
    if state.turned_back is not None:
        return End(Status.STUCK, 1, state.turned_back.why)
    target = state.target
    if target == "pause":
        if not state.pause_taken:
            return Pause(f"phase {state.phase!r} ended {state.last_outcome!r}, for which the loop file says pause")
        target = _following(spec, state.phase or "") or spec.phases[0].name
    if target == "done" or target is None:
        return _verdict(state, "the loop came to its end")
    if target == "stop":
        said = f" ({state.last_summary})" if state.last_summary and state.last_uses in _TELLING else ""
        return _verdict(state, f"phase {state.phase!r} ended {state.last_outcome!r}{said}")
    return _start(spec, state, target)


def _start(spec: LoopSpec, state: State, name: str) -> Command:
    comes_back = name == spec.phases[0].name and state.phase is not None
    iteration = state.iteration + 1 if comes_back else state.iteration
    limit = state.max_iterations or spec.limits.iterations  # the command line wins over the file
    if iteration > limit:
        return _verdict(state, f"the limit of {limit} iteration{'' if limit == 1 else 's'} is reached")
    if state.spent_s >= spec.limits.duration_s:
        return _verdict(state, f"the limit of {spec.limits.duration_s:.0f} s is used up")
    attempt = 1 if comes_back else state.visits.get(name, 0) + 1
    allowed = spec.phase(name).attempts or spec.limits.iterations
    if attempt > allowed:
        return _verdict(state, f"phase {name!r} was tried {allowed} times in iteration {iteration}, its limit")
    return Start(name, iteration, attempt)


def _verdict(state: State, why: str) -> End:
    judged = state.judged_now()
    if judged is not None:
        reason = "; ".join(judged.reasons) or why
        if judged.verdict is Verdict.MET and state.last_outcome == "failed":
            return End(Status.UNMET, 1, f"{why}, after the tiers were met: {reason}")
        if judged.verdict is Verdict.MET:
            return End(Status.MET, 0, reason)
        if judged.verdict is Verdict.STUCK and state.last_outcome == judged.verdict.value:
            return End(Status.STUCK, 1, reason)
        return End(Status(judged.verdict.value), 1, f"{why}: {reason}" if reason != why else why)
    if state.last_uses == "deploy" and state.last_outcome == "failed":
        facts = state.failed_deploy or {}
        message = str(facts.get("message", "")) or why
        what = "the revision never got ready" if facts.get("revision") else "the deploy failed"
        return End(Status.UNMET, 1, f"{what}: {message}")
    if state.judged:
        last = state.judged[-1]
        if last.verdict is not Verdict.MET:
            return End(Status(last.verdict.value), 1, why)
    return End(Status.INCONCLUSIVE, 1, f"{why}, and nothing was judged")


def _following(spec: LoopSpec, name: str) -> str | None:
    names = [phase.name for phase in spec.phases]
    place = names.index(name) + 1 if name in names else len(names)
    return names[place] if place < len(names) else None
