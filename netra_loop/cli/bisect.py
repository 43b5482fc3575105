"""`netra-loop bisect`: the iteration that broke a test, found by running it against the revisions there were."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from netra_loop.errors import UsageError

if TYPE_CHECKING:
    from netra_loop.app import Revisited
    from netra_loop.cli.hunting import Asked
    from netra_loop.core.bisecting import Hunt, Step
    from netra_loop.core.events import RevisionTagged
    from netra_loop.core.records import Batch
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
    from netra_loop.cli.hunting import asked_of, by_results
    from netra_loop.cli.inspect import look
    from netra_loop.core.writable import json_text

    given = _given(var or [])
    codes: list[int] = []

    async def work(store: Journal) -> None:
        head = await store.find(session)
        asked = await asked_of(store, head, test)
        if isinstance(asked.hunt, str):
            asked.why = f"{asked.test}: {asked.hunt}"
        elif no_run:
            by_results(asked, asked.hunt)
        else:
            with _stopped_by_signals():
                await _run(context, store, asked, asked.hunt, given)
        if as_json:
            sys.stdout.write(json_text(asked.row()) + "\n")
        else:
            _tell(asked)
        codes.append(0 if asked.found is not None else 1)

    look(context, work)
    raise typer.Exit(codes[0])


# ------------------------------------------------------------------------------------------------- running it


async def _run(context: typer.Context, store: Journal, asked: Asked, hunt: Hunt, given: Mapping[str, str]) -> None:
    from netra_loop.cli.hunting import by_running

    between = len(hunt.between)
    _say(
        f"{asked.test} passed in iteration {hunt.good.iteration} and failed in iteration {hunt.bad.iteration}; "
        f"{between} {'revision' if between == 1 else 'revisions'} in between to try"
    )
    async with _bench(context, store, asked.head, given) as bench:
        await by_running(asked, hunt, lambda step: bench.told(step, asked.test))


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

    async def told(self, step: Step, test: str) -> Probe:
        """The same, and says what came of it."""
        tried = await self.probe(step, test)
        took = "" if tried.result is None else f" in {tried.result.duration_s:.2f} s"
        verdict = {True: f"passed{took}", False: f"failed{took}", None: "not judged"}[tried.passed]
        _say(f"iteration {step.iteration}, {step.name}: {verdict}{f': {tried.told[:300]}' if tried.told else ''}")
        return tried

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


def _tell(asked: Asked) -> None:
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
