"""What GitHub Actions is told of a session: a summary of the job, annotations, outputs for the steps that follow."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from netra_loop.core.events import PhaseFinished, PhaseStarted, Recorded, SessionFailed, SessionPaused
from netra_loop.core.records import AttemptStarted, Authenticity, Finding, FindingState, LogEntry, Result
from netra_loop.report import phrases
from netra_loop.report.github_commands import END_GROUP, Annotation, commands, group, outputs
from netra_loop.report.github_summary import LIMIT, Told, summary
from netra_loop.report.observer import Observer
from netra_loop.report.safe import safe_line
from netra_loop.report.view import SessionView

_STEP_LIMIT = 1_048_576  # bytes of a step's summary: of one that is over it GitHub shows nothing
_LEAST = 2_000  # of them, in which a summary says something
_PLACE = re.compile(r"^([^\s:][^:\n]*\.py):(\d+): ", re.MULTILINE)
_MENDED = frozenset({FindingState.FIXED, FindingState.FLAKY})


class GitHub:
    """The runner's files of this step, as its environment names them. `say` writes one line of the log.

    What cannot be written is said, and nothing else comes of it.
    """

    def __init__(self, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._summary = environ.get("GITHUB_STEP_SUMMARY")
        self._output = environ.get("GITHUB_OUTPUT")
        self._workspace = environ.get("GITHUB_WORKSPACE") or "."
        self._say = say

    def outputs(self, view: SessionView) -> None:
        """What the steps after this one are told; they decide by it, so it comes first."""
        ended = "" if view.exit_code is None else str(view.exit_code)
        told_of = {"session": view.session, "state": view.state, "exit_code": ended, "reason": view.reason}
        if self._output:
            self._append(self._output, lambda _taken: outputs(told_of.items()))

    def tell(self, told: Told, folders: Sequence[Path]) -> None:
        """Says how the session stands. `folders` are where files that tests and findings name may lie."""
        if self._summary:
            self._append(self._summary, partial(self._as_summary, told))
        root = _resolved(Path(self._workspace))
        view = told.view
        where = f"all of them: {view.command} findings {view.session}, {view.command} results {view.session}"
        made = remarks(told, lambda file: _within(file, root, folders))
        for line in commands(made, told.failed - len(told.failing), where):
            self._say(line)

    def _as_summary(self, told: Told, taken: int) -> str:
        room = min(LIMIT, _STEP_LIMIT - taken)
        if room >= _LEAST:
            return summary(told, room)
        self._warn("summary", f"the summary of this step is full: it has {taken} bytes already")
        return ""

    def _append(self, file: str, text: Callable[[int], str]) -> None:
        """Adds to the end of `file` all of the text, or nothing. `text` is given how many bytes there are already."""
        try:
            opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
            with os.fdopen(opened, "ab", buffering=0) as stream:
                os.set_blocking(opened, True)  # only a FIFO that nobody reads was not to be waited for
                kind = os.fstat(opened)
                data = memoryview(text(kind.st_size).encode("utf-8", "replace"))
                try:
                    while data:
                        data = data[stream.write(data) :]
                except OSError:
                    if stat.S_ISREG(kind.st_mode):  # half a line of it may be taken for another thing
                        os.ftruncate(opened, kind.st_size)
                    raise
        except (OSError, ValueError) as error:  # ValueError: such a name there cannot be
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._warn(Path(file).name, f"{safe_line(file, 300)} cannot be written: {why}")

    def _warn(self, title: str, message: str) -> None:
        self._say(Annotation("warning", title, message).command())


def _resolved(path: Path) -> Path | None:
    """The absolute path without links; None where there can be no such path: too long, a NUL in it, links in a ring."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _within(file: str, root: Path | None, folders: Sequence[Path]) -> str | None:
    """The path from the repository's root; None where there is no such file in it."""
    for folder in folders:
        path = _resolved(folder / file)
        if path is not None and root is not None and path.is_relative_to(root) and _is_file(path):
            return str(path.relative_to(root))
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have, out of a log
        return False


def remarks(told: Told, within: Callable[[str], str | None]) -> list[Annotation]:
    """Open findings and failing tests as errors, findings first; a pause as a notice that says how to go on."""
    view = told.view
    made = [_of_finding(one, within) for one in phrases.in_order(told.findings) if one.state not in _MENDED]
    made += [_of_test(one, within) for one in told.failing]
    if view.state in {"paused", "failed"}:
        kind = "notice" if view.state == "paused" else "error"
        before = f"\n{view.first}" if view.first else ""
        on = f"{view.reason}{before}\ngo on with: {view.resume}"
        made.insert(0, Annotation(kind, f"netra-loop {view.loop}: {view.state}", on))
    return made


def _of_finding(finding: Finding, within: Callable[[str], str | None]) -> Annotation:
    cause = finding.root_cause
    file = within(cause.file) if cause is not None else None
    said = [finding.title, *([phrases.place(cause)] if cause is not None else []), *finding.tests[:5]]
    more = len(finding.tests) - 5
    said += [f"and {more} more tests"] * (more > 0)
    title = f"{finding.id} {finding.state.value}: {finding.symptom.value}"
    return Annotation("error", title, "\n".join(said), file, cause.line if cause is not None else None)


def _of_test(result: Result, within: Callable[[str], str | None]) -> Annotation:
    own = result.id.partition("::")[0]
    places = [(found[1], int(found[2])) for found in _PLACE.finditer(result.traceback)]
    line = next((at for name, at in reversed(places) if name == own), None)
    fake = "fake pass" if result.authenticity is Authenticity.FAKE else result.outcome.value
    said = "; ".join(filter(None, (phrases.not_counted(result), result.message or ", ".join(result.reasons))))
    return Annotation("error", f"{fake}: {result.id}", said, within(own), line)


class Grouped:
    """An `Observer` that passes everything on, the lines of each phase in a group of the log."""

    def __init__(self, inner: Observer, say: Callable[[str], None]) -> None:
        self._inner = inner
        self._say = say
        self._open = False

    def event(self, recorded: Recorded) -> None:
        """See `Observer.event`."""
        item = recorded.event
        if isinstance(item, PhaseFinished | SessionPaused | SessionFailed):
            self._end()
        if isinstance(item, PhaseStarted):
            self._end()
            again = f", attempt {item.attempt}" if item.attempt > 1 else ""
            self._say(group(f"[{item.iteration}] {item.phase}{again}"))
            self._open = True
        self._inner.event(recorded)

    def plan(self, total: int) -> None:
        """See `Observer.plan`."""
        self._inner.plan(total)

    def started(self, attempt: AttemptStarted) -> None:
        """See `Observer.started`."""
        self._inner.started(attempt)

    def finished(self, result: Result) -> None:
        """See `Observer.finished`."""
        self._inner.finished(result)

    def logged(self, entries: Sequence[LogEntry], others: int = 0) -> None:
        """See `Observer.logged`."""
        self._inner.logged(entries, others)

    def progress(self, text: str) -> None:
        """See `Observer.progress`."""
        self._inner.progress(text)

    def summary(self, view: SessionView, findings: Sequence[Finding]) -> None:
        """See `Observer.summary`."""
        self._end()
        self._inner.summary(view, findings)

    def close(self) -> None:
        """See `Observer.close`."""
        self._end()
        self._inner.close()

    def _end(self) -> None:
        if self._open:
            self._say(END_GROUP)
        self._open = False
