"""`watch`: the screen of `run`, for a session that another process runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from netra_loop.cli.pulse import Pulse
    from netra_loop.core.events import Recorded
    from netra_loop.core.records import AttemptStarted, Result
    from netra_loop.journal.base import Journal, SessionHead
    from netra_loop.report.observer import Observer

_PAUSED = 75
_INTERRUPTED = 130
_NEWEST_ENTRIES = 200


def watch(
    context: typer.Context,
    session: Annotated[
        str | None,
        typer.Argument(metavar="[SESSION]", help="Default: the newest unfinished session, else the newest."),
    ] = None,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="End with the session's own exit code instead of 0.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="No live screen. The default in CI and without a terminal.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more: every test as it ends.")] = False,
) -> None:
    """Show a session live, whoever runs it, until it ends or pauses. Ctrl-C leaves it alone."""
    from netra_loop.cli.inspect import look
    from netra_loop.settings import read

    settings = read(context.obj)
    drawn = not (plain or settings.ci) and sys.stdout.isatty()
    command = settings.command()
    watched: list[str] = []
    codes: list[int] = []

    async def work(store: Journal) -> None:
        from netra_loop.cli.view import told_of

        head = await _which(store, session)
        watched.append(head.id)
        clock = ToldClock()
        with clock.at(head.started_at):
            observer = _observer(clock, drawn=drawn, verbose=verbose)
        try:
            pulse = await show(store, head.id, observer, clock)
            if pulse.unread:
                return
            if pulse.abandoned:
                sys.stderr.write(f"no process runs session {head.id} any more, and the last one said no word\n")
            view, findings = await told_of(store, await store.find(head.id))
            observer.summary(replace(view, command=command), findings)
            codes.append(_PAUSED if pulse.abandoned else pulse.state.exit_code or 0)
        finally:
            observer.close()

    try:
        look(context, work)
    except KeyboardInterrupt:
        if watched:
            sys.stderr.write(f"session {watched[0]} goes on; look again with: {command} watch {watched[0]}\n")
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(codes[0] if exit_status and codes else 0)


async def show(store: Journal, session: str, observer: Observer, clock: ToldClock) -> Pulse:
    """Tells `observer` what happened in the newest iteration, and what happens from now on until the session is over.

    `clock` is the observer's own: each thing is told at its time.
    """
    from netra_loop.cli.pulse import Pulse

    pulse = Pulse(store, session, clock)
    told = _Telling(store, session, observer, clock, pulse)
    await told.begin()
    async for news in pulse.news():
        told.tell(news.events, news.attempts, news.results)
        if news.entries:
            observer.logged(news.entries)
    return pulse


class _Telling:
    """What an observer of the session's own process would have been told, from the rows that it left."""

    def __init__(self, store: Journal, session: str, observer: Observer, clock: ToldClock, pulse: Pulse) -> None:
        self._store = store
        self._session = session
        self._observer = observer
        self._clock = clock
        self._pulse = pulse

    async def begin(self) -> None:
        """The newest iteration so far."""
        recorded = await self._pulse.begin()
        iteration = self._pulse.state.iteration
        shown = list(_worth_telling(recorded, iteration))
        began = next((item for item in reversed(shown) if _is_execute(item)), None)
        if began is None:
            self.tell(shown, (), ())
            return
        # at once, for reading what a hundred thousand tests did takes a while
        self.tell([item for item in shown if item.seq <= began.seq], (), ())
        shown = [item for item in shown if item.seq > began.seq]
        attempts = await self._store.attempts(self._session, iteration)
        results = await self._store.results(self._session, iteration, bodies=False)
        kept = await self._store.count(self._session, iteration) - len(results)
        if began.event.attempt > 1:  # the tests were run once more
            attempts = [one for one in attempts if one.started_at >= began.at]
            results = [one for one in results if one.started_at >= began.at]
        self.tell(shown, attempts, results)
        newest = await self._store.entries(self._session, iteration, limit=_NEWEST_ENTRIES)
        if newest:
            self._observer.logged(newest, max(0, kept - len(newest)))

    def tell(self, events: Sequence[Recorded], attempts: Sequence[AttemptStarted], results: Sequence[Result]) -> None:
        """Everything in the order of its time."""
        moments: list[tuple[datetime, int, Callable[[], None]]] = []
        last = datetime.min.replace(tzinfo=UTC)
        for item in events:
            last = max(last, item.at)  # their own order holds, whatever the clocks said
            moments.append((last, 0, partial(self._event, item)))
        moments += [(attempt.started_at, 1, partial(self._observer.started, attempt)) for attempt in attempts]
        for result in results:
            ended_at = result.started_at + timedelta(seconds=result.duration_s)
            moments.append((ended_at, 2, partial(self._observer.finished, result)))
        for at, _, say in sorted(moments, key=lambda moment: moment[:2]):
            with self._clock.at(at):
                say()

    def _event(self, item: Recorded) -> None:
        self._observer.event(item)
        selection = self._pulse.state.selection
        if _is_execute(item) and selection is not None:
            self._observer.plan(selection.selected)


def _worth_telling(recorded: Sequence[Recorded], iteration: int) -> Iterator[Recorded]:
    """The events of the newest iteration, and of earlier ones what still holds: which loop it is, what is tested."""
    from netra_loop.core.events import RevisionReady, SessionStarted

    ready = {item.event.service: item.seq for item in recorded if isinstance(item.event, RevisionReady)}
    for item in recorded:
        holds = isinstance(item.event, SessionStarted) or item.seq in ready.values()
        if holds or item.event.iteration == iteration:
            yield item


def _is_execute(item: Recorded) -> bool:
    from netra_loop.core.events import PhaseStarted

    return isinstance(item.event, PhaseStarted) and item.event.uses == "execute"


async def _which(store: Journal, session: str | None) -> SessionHead:
    """The session of that name; without one the newest unfinished one, else the newest."""
    from netra_loop.core.state import Status
    from netra_loop.journal.base import LATEST

    if session is None:
        for head in await store.sessions():
            if not Status(head.state).is_final:
                return head
    return await store.find(session or LATEST)


class ToldClock:
    """The machine's clock; `at` sets it, for the calling thread alone, to the time of what is being told."""

    def __init__(self) -> None:
        self._told = threading.local()

    def now(self) -> datetime:
        """See `Clock.now`."""
        told: datetime | None = getattr(self._told, "at", None)
        return told or datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`: of the wall clock here, since that is what another process has noted."""
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        import asyncio

        await asyncio.sleep(seconds)

    @contextmanager
    def at(self, instant: datetime) -> Iterator[None]:
        """It is `instant` while the block runs."""
        self._told.at = instant
        try:
            yield
        finally:
            self._told.at = None


def _observer(clock: ToldClock, *, drawn: bool, verbose: bool) -> Observer:
    if not drawn:
        from netra_loop.report.plain import PlainConsole

        return PlainConsole(sys.stdout, clock, verbose=verbose)
    from rich.console import Console

    from netra_loop.report.live import LiveConsole

    return LiveConsole(Console(), clock)
