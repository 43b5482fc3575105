"""Finding the iteration that broke a test: what is asked, how it is looked for, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netra_loop.errors import UsageError

if TYPE_CHECKING:
    from netra_loop.core.bisecting import Hunt, Step
    from netra_loop.core.events import Committed
    from netra_loop.core.records import Result
    from netra_loop.core.state import State
    from netra_loop.journal.base import Journal, SessionHead
    from netra_loop.phases.probing import Probe


@dataclass
class Asked:
    """What is to be found, and what was. `found` None: `why` says so; `suspects` are those it may have been."""

    head: SessionHead
    test: str
    state: State
    steps: list[Step]
    hunt: Hunt | str
    probes: list[Probe] = field(default_factory=list)
    found: Step | None = None
    good: Step | None = None
    suspects: tuple[Step, ...] = ()
    why: str = ""

    def row(self) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "session": self.head.id,
            "test": self.test,
            "good": None if self.good is None else self.good.iteration,
            "probes": [_probe_row(one) for one in self.probes],
            "found": None if self.found is None else self._broken(self.found),
            "suspects": [one.iteration for one in self.suspects],
            "reason": self.why,
        }

    def _broken(self, step: Step) -> dict[str, Any]:
        return {
            "iteration": step.iteration,
            "revisions": {service: revision.name for service, revision in step.revisions.items()},
            "commits": [
                {"commit": one.commit, "subject": one.subject, "paths": list(one.paths), "iteration": one.iteration}
                for one in self.commits()
            ],
        }

    def commits(self) -> list[Committed]:
        """What the session committed between the last one that passed and the one that broke it."""
        if self.found is None or self.found.commit is None:
            return []
        made = [one.commit for one in self.state.commits]
        end = made.index(self.found.commit) + 1 if self.found.commit in made else 0
        before = self.good.commit if self.good is not None else None
        begin = made.index(before) + 1 if before in made else 0
        return list(self.state.commits[begin:end])


async def asked_of(store: Journal, head: SessionHead, wanted: str) -> Asked:
    """What the session's results say of the one test that `wanted` means. UsageError where it is none, or several."""
    from netra_loop.core.bisecting import hunt, standing, steps
    from netra_loop.core.records import Verdict
    from netra_loop.core.state import fold

    state = fold(await store.events(head.id))
    test = await _test(store, head, wanted)
    inconclusive = {one.iteration for one in state.judged if one.verdict is Verdict.INCONCLUSIVE}
    passed = {
        number: None if number in inconclusive else standing(await _attempts(store, head, number, test))
        for number in range(1, head.iteration + 1)
    }
    services = list(dict.fromkeys(one.revision.service for one in state.deployed))
    made = steps(services, state.deployed, passed, head.iteration)
    return Asked(head, test, state, made, hunt(made))


async def _test(store: Journal, head: SessionHead, wanted: str) -> str:
    """The one test that `wanted` means in any iteration. UsageError where it is none, or more than one."""
    from netra_loop.cli.one_test import matching
    from netra_loop.report.safe import safe_line

    named = {one for number in range(1, head.iteration + 1) for one in await store.named(head.id, number, wanted)}
    found = matching(sorted(named), wanted)
    if len(found) == 1:
        return found[0]
    if found:
        several = "".join(f"\n  {safe_line(one)}" for one in found[:12])
        raise UsageError(f"{wanted!r} could mean {len(found)} tests:{several}", hint="type more of the id")
    raise UsageError(
        f"session {head.id!r} has no test {wanted!r}, expected an id or a part of one",
        hint=f"netra-loop results {head.id} --iteration all",
    )


async def _attempts(store: Journal, head: SessionHead, number: int, test: str) -> list[Result]:
    return await store.results(head.id, number, test=test, bodies=False)


def by_results(asked: Asked, hunt: Hunt) -> None:
    """Goes by what is known, and runs nothing."""
    asked.good, asked.suspects = hunt.good, hunt.suspects
    if len(hunt.suspects) == 1:
        asked.found = hunt.bad
    else:
        asked.why = f"the results alone leave iterations {_listed(hunt.suspects)}: without --no-run they are tried"


async def by_running(asked: Asked, hunt: Hunt, probe: Callable[[Step], Awaitable[Probe]]) -> None:
    """Both ends first, since everything else rests on them; then the middle of what is left, again and again."""
    for end, expected in ((hunt.good, True), (hunt.bad, False)):
        tried = await probe(end)
        asked.probes.append(tried)
        if tried.passed is not expected:
            asked.why = _not_as_it_was(end, tried, expected=expected)
            return
    while (step := hunt.following) is not None:
        tried = await probe(step)
        asked.probes.append(tried)
        hunt = hunt.told(step, tried.passed)
    by_results(asked, hunt)
    if asked.found is None:
        many = _listed(hunt.suspects)
        asked.why = f"it was one of iterations {many}, and those before the last of them could not be judged"


def _not_as_it_was(end: Step, tried: Probe, *, expected: bool) -> str:
    was = "passed" if expected else "failed"
    if tried.passed is None:
        return f"iteration {end.iteration}, where it {was}, cannot be judged any more: {tried.told or 'no verdict'}"
    now = "fails" if expected else "passes"
    return (
        f"it {was} in iteration {end.iteration} and {now} against the same revision now: what changed is not the "
        "revision alone, but the test, its data or the environment, or it passes only now and then"
    )


def _listed(steps: tuple[Step, ...]) -> str:
    return ", ".join(str(one.iteration) for one in steps)


def _probe_row(probe: Probe) -> dict[str, Any]:
    result = probe.result
    return {
        "iteration": probe.step.iteration,
        "revision": probe.step.name,
        "passed": probe.passed,
        "outcome": None if result is None else result.outcome.value,
        "authenticity": None if result is None else result.authenticity.value,
        "duration_s": None if result is None else round(result.duration_s, 3),
        "message": probe.told,
    }
