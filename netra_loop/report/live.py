"""A session as a screen that redraws itself, for people at a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from netra_loop.clock import Clock
from netra_loop.core.events import (
    Noted,
    PhaseFinished,
    PhaseRecovered,
    PhaseStarted,
    Recorded,
    RevisionReady,
    SessionStarted,
)
from netra_loop.core.records import AttemptStarted, Finding, LogEntry, Result
from netra_loop.report import phrases, render
from netra_loop.report.log_tally import LogTally
from netra_loop.report.safe import safe_line
from netra_loop.report.tally import Stood, Tally
from netra_loop.report.view import SessionView
from netra_loop.values import dataclass

REFRESH_PER_S = 8.0
_RUNNING, _FAILURES, _PHASES = 4, 5, 10
_GOOD = {"ok", "met"}


@dataclass
class _Phase:
    name: str
    iteration: int
    began: float
    outcome: str | None = None
    text: str = ""


class LiveConsole:
    """An `Onlooker` that draws on `console`, as many lines as fit, each cut at its width; the summary stays.

    Redrawn by a thread of its own, so that clocks go on ticking while the session waits.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._over = False
        self._began = clock.monotonic()
        self._title = ""
        self._iteration = 0
        self._phases: list[_Phase] = []
        self._revisions: dict[str, str] = {}
        self._sentence = ""
        self._tail: list[str] = []
        self._tail_of: str | None = None
        self._tally = Tally(clock)
        self._logs = LogTally()

    # ------------------------------------------------------------------------------------------------ Observer

    def event(self, recorded: Recorded) -> None:
        """See `Observer.event`."""
        with self._changing():
            item = recorded.event
            match item:
                case SessionStarted():
                    self._title = f"{item.loop} in {item.environment}"
                case PhaseStarted() | PhaseRecovered():
                    self._enter(item.phase or "", item.iteration, "" if isinstance(item, PhaseStarted) else "recovered")
                case PhaseFinished():
                    self._leave(item)
                case RevisionReady():
                    self._revisions[item.service] = f"{item.service}  {item.revision}  {item.url}"
                case Noted():
                    self._sentence = item.text
                case _:
                    self._said(phrases.event(item))

    def plan(self, total: int) -> None:
        """See `Observer.plan`."""
        with self._changing():
            self._tally.plan(total)
            self._logs = LogTally()

    def started(self, attempt: AttemptStarted) -> None:
        """See `Observer.started`."""
        with self._changing():
            self._tally.started(attempt)

    def finished(self, result: Result) -> None:
        """See `Observer.finished`."""
        with self._changing():
            self._tally.finished(result)

    def stood(self, before: Stood) -> None:
        """See `Onlooker.stood`."""
        with self._changing():
            self._tally.stood(before)

    def again(self, earlier: Result) -> None:
        """See `Onlooker.again`."""
        with self._changing():
            self._tally.again(earlier)

    def logged(self, entries: Sequence[LogEntry], others: int = 0) -> None:
        """See `Observer.logged`."""
        with self._changing():
            self._logs.take(entries, others)

    def progress(self, text: str) -> None:
        """See `Observer.progress`."""
        with self._changing():
            self._sentence = text

    def summary(self, view: SessionView, findings: Sequence[Finding]) -> None:
        """See `Observer.summary`."""
        self.close()
        with _unread():
            for phase in self._phases:
                self._console.print(self._phase(phase, ascii_only=self._console.options.ascii_only))
            for line in self._tail:
                self._console.print(Text(f"    | {line}"))
            self._console.print()
            self._console.print(render.status(view, findings))

    def close(self) -> None:
        """See `Observer.close`."""
        with self._lock:
            self._over = True
            live, self._live = self._live, None
        if live is not None:
            with _unread():
                live.stop()

    # ------------------------------------------------------------------------------------------------ what is known

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            yield
            if self._live is None and not self._over:
                self._start()

    def _start(self) -> None:
        live = Live(
            self,
            console=self._console,
            refresh_per_second=REFRESH_PER_S,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=False,
        )
        self._over = True  # unless it starts: a terminal that is gone stays gone
        with _unread():
            live.start()
            self._live, self._over = live, False

    def _enter(self, name: str, iteration: int, text: str) -> None:
        if iteration != self._iteration:
            self._phases.clear()
            self._iteration, self._tail, self._tail_of = iteration, [], None
        self._phases.append(_Phase(name, iteration, self._clock.monotonic(), text=text))
        self._sentence = ""

    def _leave(self, item: PhaseFinished) -> None:
        open_ = [phase for phase in self._phases if phase.name == item.phase and phase.outcome is None]
        for phase in open_:
            phase.outcome = item.outcome or "ended"
            phase.text = f"{phrases.duration(item.duration_s)}  {item.summary}".rstrip()
        self._sentence = ""
        if tail := phrases.tail(item):
            self._tail, self._tail_of = tail, item.phase
        elif item.phase == self._tail_of:
            self._tail = []  # what was wrong there is not any more

    def _said(self, text: str) -> None:
        if self._phases and self._phases[-1].outcome is None:
            self._phases[-1].text = text
        else:
            self._sentence = text

    # ------------------------------------------------------------------------------------------------ the screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines that fit: whole sections first, of the rest what is newest."""
        with self._lock:
            lines = self._fitting(max(1, console.size.height - 1), options)
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line

    def _fitting(self, height: int, options: ConsoleOptions) -> list[Text]:
        ascii_only = options.ascii_only
        sections = {
            "title": [self._header(ascii_only=ascii_only)],
            "revisions": [Text(safe_line(text), "cyan") for text in self._revisions.values()],
            "phases": [self._phase(phase, ascii_only=ascii_only) for phase in self._phases[-_PHASES:]],
            "sentence": [Text(f"  {safe_line(self._sentence)}", "dim")] if self._sentence else [],
            "bar": self._bar(options.max_width, ascii_only=ascii_only),
            "logs": self._logged(),
            "running": [
                Text(f"  {phrases.duration(age):>10}  {safe_line(id_)}", "dim")
                for id_, age in self._tally.slowest(_RUNNING)
            ],
            "failures": [
                Text(f"  {phrases.result(result)}", "yellow" if phrases.not_counted(result) else "red")
                for result in list(self._tally.failures)[-_FAILURES:]
            ],
        }
        for name in ("running", "failures", "phases", "logs", "revisions", "sentence", "bar"):
            while sum(map(len, sections.values())) > height and len(sections[name]) > (name in {"failures", "phases"}):
                del sections[name][0]
        return [line for lines in sections.values() for line in lines][:height]

    def _header(self, *, ascii_only: bool) -> Text:
        dot = " - " if ascii_only else " · "
        parts = ["netra-loop", safe_line(self._title), f"iteration {self._iteration}" if self._iteration else ""]
        spent = phrases.duration(self._clock.monotonic() - self._began)
        return Text(dot.join([*(part for part in parts if part), spent]), "bold")

    def _logged(self) -> list[Text]:
        line = self._logs.line()
        return [Text(f"  {line}", "yellow" if self._logs.errors else "dim")] if line else []

    def _phase(self, phase: _Phase, *, ascii_only: bool) -> Text:
        good, bad, now = ("+", "x", ">") if ascii_only else ("✓", "✗", "●")
        if phase.outcome is None:
            age = phrases.duration(self._clock.monotonic() - phase.began)
            return Text(f"{now} {safe_line(phase.name):<10} {age}  {safe_line(phase.text)}".rstrip(), "cyan")
        sign, style = (good, "green") if phase.outcome in _GOOD else (bad, "red")
        text = Text(f"{sign} {safe_line(phase.name):<10} ", style)
        return text.append(f"{phase.outcome} in {safe_line(phase.text)}", "default")

    def _bar(self, width: int, *, ascii_only: bool) -> list[Text]:
        tally = self._tally
        if not tally.total:
            return []
        left = tally.remaining_s()
        guess = f", about {phrases.duration(left)} left" if left is not None else ""
        retried = f", {tally.flaky} only on retry" if tally.flaky else ""
        words = f" {tally.done}/{tally.total}, {tally.failed} failed{retried}, {tally.running} running{guess}"
        room = max(0, min(30, width - len(words)))
        full, empty = ("#", "-") if ascii_only else ("━", "─")
        share = min(1.0, tally.done / tally.total)
        bad = min(room, -(-room * tally.failed // tally.total))
        done = max(bad, int(room * share))
        bar = Text(full * (done - bad), "green").append(full * bad, "red").append(empty * (room - done), "dim")
        return [bar.append(words, "default")]


@contextmanager
def _unread() -> Iterator[None]:
    """A terminal that hung up must not end the session. rich turns a broken pipe into SystemExit, hence that too."""
    try:
        yield
    except (OSError, SystemExit):
        return
