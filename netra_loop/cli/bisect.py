"""`netra-loop bisect`: the iteration that broke a test, found by running it against the revisions there were."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netra_loop.errors import UsageError

if TYPE_CHECKING:
    from netra_loop.app import Revisited
    from netra_loop.core.bisecting import Hunt, Step
    from netra_loop.core.events import Committed, RevisionTagged
    from netra_loop.core.records import Batch
    from netra_loop.core.state import State
    from netra_loop.journal.base import Journal, SessionHead
    from netra_loop.phases.probing import Probe

_UNTAG_S = 20.0
_SHOWN = 6  # paths of a commit


def bisect(
    context: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="An id, its unambiguous beginning, or latest.")],
    test: Annotated[str, typer.Argument(metavar="TEST", help="A test's id, or a part that no other has.")],
    no_run: Annotated[bool, typer.Option("--no-run", help="Go by the results there are, and run nothing.")] = False,
    var: Annotated[
        list[str] | None, typer.Option("--var", metavar="K=V", help="A variable whose value was not stored, again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output: one document.")] = False,
) -> None:
    """Find the iteration that broke a test, by running it against the session's revisions; nothing is built anew.

    The session must not be at work. Exit codes: 0 found; 1 not found, or not to be reproduced; 2 the command line.
    """
    from netra_loop.cli.inspect import look
    from netra_loop.core.writable import json_text

    given = _given(var or [])
    codes: list[int] = []

    async def work(store: Journal) -> None:
        head = await store.find(session)
        asked = await _asked(store, head, test)
        if not isinstance(asked.hunt, str):
            if no_run:
                _by_results(asked, asked.hunt)
            else:
                with _stopped_by_signals():
                    await _by_running(context, store, asked, asked.hunt, given)
        else:
            asked.why = f"{asked.test}: {asked.hunt}"
        if as_json:
            sys.stdout.write(json_text(asked.row()) + "\n")
        else:
            _tell(asked)
        codes.append(0 if asked.found is not None else 1)

    look(context, work)
    raise typer.Exit(codes[0])


@dataclass
class _Asked:
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


async def _asked(store: Journal, head: SessionHead, wanted: str) -> _Asked:
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
    return _Asked(head, test, state, made, hunt(made))


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


async def _attempts(store: Journal, head: SessionHead, number: int, test: str) -> list[Any]:
    return await store.results(head.id, number, test=test, bodies=False)


# ------------------------------------------------------------------------------------------------- finding it


def _by_results(asked: _Asked, hunt: Hunt) -> None:
    asked.good, asked.suspects = hunt.good, hunt.suspects
    if len(hunt.suspects) == 1:
        asked.found = hunt.bad
    else:
        many = ", ".join(str(one.iteration) for one in hunt.suspects)
        asked.why = f"the results alone leave iterations {many}: without --no-run they are tried"


async def _by_running(
    context: typer.Context, store: Journal, asked: _Asked, hunt: Hunt, given: Mapping[str, str]
) -> None:
    """Both ends first, since everything else rests on them; then the middle of what is left, again and again."""
    between = len(hunt.between)
    _say(
        f"{asked.test} passed in iteration {hunt.good.iteration} and failed in iteration {hunt.bad.iteration}; "
        f"{between} {'revision' if between == 1 else 'revisions'} in between to try"
    )
    async with _bench(context, store, asked.head, given) as bench:
        for end, expected in ((hunt.good, True), (hunt.bad, False)):
            tried = await _tried(bench, asked, end)
            if tried.passed is not expected:
                asked.why = _not_as_it_was(end, tried, expected=expected)
                return
        while (step := hunt.following) is not None:
            tried = await _tried(bench, asked, step)
            hunt = hunt.told(step, tried.passed)
    _by_results(asked, hunt)
    if asked.found is None:
        many = ", ".join(str(one.iteration) for one in hunt.suspects)
        asked.why = f"it was one of iterations {many}, and those before the last of them could not be judged"


async def _tried(bench: _Bench, asked: _Asked, step: Step) -> Probe:
    from netra_loop.report.safe import safe_line

    tried = await bench.probe(step, asked.test)
    asked.probes.append(tried)
    took = "" if tried.result is None else f" in {tried.result.duration_s:.2f} s"
    verdict = {True: f"passed{took}", False: f"failed{took}", None: "not judged"}[tried.passed]
    _say(f"iteration {step.iteration}, {step.name}: {verdict}{f': {safe_line(tried.told, 300)}' if tried.told else ''}")
    return tried


def _not_as_it_was(end: Step, tried: Probe, *, expected: bool) -> str:
    was = "passed" if expected else "failed"
    if tried.passed is None:
        return f"iteration {end.iteration}, where it {was}, cannot be judged any more: {tried.told or 'no verdict'}"
    now = "fails" if expected else "passes"
    return (
        f"it {was} in iteration {end.iteration} and {now} against the same revision now: what changed is not the "
        "revision alone, but the test, its data or the environment, or it passes only now and then"
    )


class _Bench:
    """Runs probes, and knows the tags that they put on."""

    def __init__(self, there: Revisited) -> None:
        from netra_loop.core.spec import PhaseSpec
        from netra_loop.report.observer import Silence

        self._there = there
        self._phase = PhaseSpec(name="bisect", uses="compare")
        self._silence = Silence()
        self._tagged: list[RevisionTagged] = []

    async def probe(self, step: Step, test: str) -> Probe:
        """See `probing.probe`."""
        from netra_loop.phases.probing import probe

        context = self._there.context(self._phase, step.iteration, self._record, self._silence)
        return await probe(context, step, test)

    async def take_off(self) -> None:
        """Takes off all tags that were put on here, within 20 s; what stays is told."""
        import asyncio

        from netra_loop.phases.probing import take_off

        context = self._there.context(self._phase, self._there.head.iteration, self._record, self._silence)
        try:
            async with asyncio.timeout(_UNTAG_S):
                left = await take_off(context) if self._tagged else []
        except TimeoutError:
            left = [f"tags may be left, {', '.join(sorted({one.tag for one in self._tagged}))} among them"]
        for one in left:
            _say(one)

    async def _record(self, batch: Batch) -> None:
        from netra_loop.core.events import Noted, RevisionTagged

        for event in batch.events:
            if isinstance(event, RevisionTagged):
                self._tagged.append(event)
            elif isinstance(event, Noted):
                _say(event.text)


@asynccontextmanager
async def _bench(
    context: typer.Context, store: Journal, head: SessionHead, given: Mapping[str, str]
) -> AsyncIterator[_Bench]:
    """The session, held, and its cloud; its tags are as they were when the block is left, in whatever way."""
    from netra_loop.app import Session
    from netra_loop.report.observer import Silence
    from netra_loop.settings import read

    settings = read(context.obj)
    session = Session(settings, store, Silence(), command=settings.command())
    async with session.revisit(head, given) as there:
        bench = _Bench(there)
        try:
            yield bench
        finally:
            await bench.take_off()


# ------------------------------------------------------------------------------------------------- telling it


def _tell(asked: _Asked) -> None:
    from netra_loop.core.bisecting import broke_again
    from netra_loop.report.safe import safe_line

    lines = []
    if asked.found is None:
        lines.append(f"not found: {asked.why}")
    else:
        revisions = ", ".join(revision.name for revision in asked.found.revisions.values())
        lines.append(f"iteration {asked.found.iteration} broke {asked.test}: revision {revisions}")
        for one in asked.commits():
            files = ", ".join(one.paths[:_SHOWN])
            more = f" and {len(one.paths) - _SHOWN} more" if len(one.paths) > _SHOWN else ""
            lines.append(f"commit {one.commit[:12]} {one.subject} ({files}{more})")
        if asked.found.commit is None:
            lines.append("of which commit it was made is not known: the loop has no workspace")
        again = (
            broke_again(asked.steps, replace(asked.hunt, bad=asked.found)) if not isinstance(asked.hunt, str) else []
        )
        if again:
            lines.append(f"it passed again later, and broke once more in iteration {', '.join(map(str, again))}")
    sys.stdout.write("".join(f"{safe_line(line, 1000)}\n" for line in lines))


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


def _say(text: str) -> None:
    from netra_loop.report.safe import safe_line

    sys.stderr.write(f"{safe_line(text, 1000)}\n")
    sys.stderr.flush()


def _given(pairs: list[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--var {pair!r} names no value, expected K=V", hint="for example: --var user=me")
        given[name] = value
    return given


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does: what was started is ended, and tags are taken off."""
    import asyncio

    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    heard: list[int] = []

    def hear(number: int) -> None:
        heard.append(number)
        task.cancel()

    numbers = (signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, hear, number)
    try:
        yield
    except asyncio.CancelledError:
        if not heard:
            raise
        raise typer.Exit(128 + heard[0]) from None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
