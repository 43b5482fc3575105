"""`watch`: the screen of `run`, for a session that another process runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from netra_loop.cli.pulse import Pulse
    from netra_loop.core.events import Recorded
    from netra_loop.core.records import AttemptStarted, Result
    from netra_loop.journal.base import Journal, News, SessionHead, Standing
    from netra_loop.report.observer import Onlooker
    from netra_loop.report.tally import Stood

_PAUSED = 75
_INTERRUPTED = 130
_NEWEST_ENTRIES = 200
_NEWEST_FAILURES = 20
_AT_ONCE = 500  # tests that the store is asked for by name


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


async def show(store: Journal, session: str, observer: Onlooker, clock: ToldClock) -> Pulse:
    """Tells `observer` what happened in the newest iteration, and what happens from now on until the session is over.

    `clock` is the observer's own: each thing is told at its time.
    """
    from netra_loop.cli.pulse import Pulse

    pulse = Pulse(store, session, clock)
    told = _Telling(store, session, observer, clock, pulse)
    await told.begin()
    async for news in pulse.news():
        await told.tell(news)
    return pulse


class _Telling:
    """What an observer of the session's own process would have been told, from the rows that it left: of tests that had
    ended before anybody looked, how they stand.
    """

    def __init__(self, store: Journal, session: str, observer: Onlooker, clock: ToldClock, pulse: Pulse) -> None:
        self._store = store
        self._session = session
        self._observer = observer
        self._clock = clock
        self._pulse = pulse
        self._stood: Recorded | None = None  # the beginning of the tests that were told as a sum

    async def begin(self) -> None:
        """The newest iteration so far: its events, and how its tests stand."""
        from netra_loop.cli.pulse import is_unread

        recorded = await self._pulse.begin()
        shown = list(_worth_telling(recorded, self._pulse.state.iteration))
        began = next((item for item in reversed(shown) if _is_execute(item)), None)
        ended = None if began is None else _end_of(began, shown)
        self._tell([item for item in shown if ended is None or item.seq < ended.seq])
        if began is not None and not is_unread():
            await self._stand(began, ended or (recorded[-1] if self._pulse.is_over else None))
        if ended is not None:
            self._tell([item for item in shown if item.seq >= ended.seq])

    async def _stand(self, began: Recorded, ended: Recorded | None) -> None:
        """How the tests that `began` then stand: at what `ended` them, else now."""
        from netra_loop.cli.pulse import is_unread

        store, iteration, mark, since = self._store, began.event.iteration, self._pulse.mark, _since(began)
        so_far = await store.standing(self._session, iteration, mark, _NEWEST_FAILURES, since=since)
        newest = await store.entries(self._session, iteration, limit=_NEWEST_ENTRIES)
        if ended is None and not is_unread():  # of a million tests that takes seconds
            self._tell(attempts=await store.under_way(self._session, iteration, mark, since=since))
        with self._clock.at(began.at):  # no progress of that time is to be told
            began_s = self._clock.monotonic()
            if newest:
                self._observer.logged(newest, max(0, so_far.entries - len(newest)))
        with self._clock.at(ended.at) if ended is not None else nullcontext():
            self._observer.stood(_sum_of(so_far, began_s))
        self._stood = began

    async def tell(self, news: News) -> None:
        """What came since."""
        if self._stood is not None:
            await self._again(self._stood, news.results)
        self._tell(news.events, news.attempts, news.results)
        if news.entries:
            self._observer.logged(news.entries)

    async def _again(self, began: Recorded, results: Sequence[Result]) -> None:
        """How tests that end once more had ended before: what is in the sum is not to be counted twice."""
        several = {one.id for one in results if one.attempt > 1}
        first: dict[str, int] = {}
        for one in results:
            if one.id in several:
                first[one.id] = min(one.attempt, first.get(one.id, one.attempt))
        since = _since(began)
        left = list(first)
        while left:
            some, left = left[:_AT_ONCE], left[_AT_ONCE:]
            known = await self._store.results(self._session, began.event.iteration, test=some, bodies=False)
            before = [
                one for one in known if one.attempt < first[one.id] and (since is None or one.started_at >= since)
            ]
            for one in {one.id: one for one in before}.values():
                self._observer.again(one)

    def _tell(
        self,
        events: Sequence[Recorded] = (),
        attempts: Sequence[AttemptStarted] = (),
        results: Sequence[Result] = (),
    ) -> None:
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
            self._stood = None
            self._observer.plan(selection.selected)


def _worth_telling(recorded: Sequence[Recorded], iteration: int) -> Iterator[Recorded]:
    """The events of the newest iteration, and of earlier ones what still holds: which loop it is, what is tested."""
    from netra_loop.core.events import RevisionReady, SessionStarted

    ready = {item.event.service: item.seq for item in recorded if isinstance(item.event, RevisionReady)}
    for item in recorded:
        holds = isinstance(item.event, SessionStarted) or item.seq in ready.values()
        if holds or item.event.iteration == iteration:
            yield item


def _end_of(began: Recorded, shown: Sequence[Recorded]) -> Recorded | None:
    """The end of the phase that `began`; None where it is still open."""
    from netra_loop.core.events import PhaseFinished

    after = (item for item in shown if item.seq > began.seq and item.event.phase == began.event.phase)
    return next((item for item in after if isinstance(item.event, PhaseFinished)), None)


def _since(began: Recorded) -> datetime | None:
    """From when on results are of the tests that `began`; None: all of the iteration are."""
    return began.at if began.event.attempt > 1 else None  # then the tests are run once more


def _sum_of(standing: Standing, began_s: float) -> Stood:
    from netra_loop.core.records import Authenticity
    from netra_loop.report.tally import Stood

    counted = standing.counted.items()
    return Stood(
        sum(standing.counted.values()),
        sum(number for (of, _, seen), number in counted if of.is_failure or seen is Authenticity.FAKE),
        sum(number for (_, flaky, _), number in counted if flaky),
        began_s,
        standing.failed,
    )


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


def _observer(clock: ToldClock, *, drawn: bool, verbose: bool) -> Onlooker:
    if not drawn:
        from netra_loop.report.plain import PlainConsole

        return PlainConsole(sys.stdout, clock, verbose=verbose)
    from rich.console import Console

    from netra_loop.report.live import LiveConsole

    return LiveConsole(Console(), clock)
