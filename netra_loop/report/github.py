"""What GitHub Actions is told of a session: a summary of the job, annotations, outputs for the steps that follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from netra_loop.core.events import PhaseFinished, PhaseStarted, Recorded, SessionFailed, SessionPaused
from netra_loop.core.records import AttemptStarted, Authenticity, Finding, FindingState, LogEntry, Result
from netra_loop.report import phrases
from netra_loop.report.github_commands import END_GROUP, Annotation, commands, group, outputs
from netra_loop.report.github_summary import LIMIT, Told, summary
from netra_loop.report.observer import Observer
from netra_loop.report.view import SessionView

_STEP_LIMIT = 1_000_000  # of bytes in a step's summary: 1 MiB is refused
_PLACE = re.compile(r"^([^\s:][^:\n]*\.py):(\d+): ", re.MULTILINE)
_MENDED = frozenset({FindingState.FIXED, FindingState.FLAKY})


class GitHub:
    """The runner's files of this step, as its environment names them. `say` writes one line of the log.

    What cannot be written is said, and nothing else comes of it.
    """

    def __init__(self, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._summary = environ.get("GITHUB_STEP_SUMMARY")
        self._output = environ.get("GITHUB_OUTPUT")
        self._root = Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()
        self._say = say

    def tell(self, told: Told, folders: Sequence[Path]) -> None:
        """Says how the session stands. `folders` are where files that tests and findings name may lie."""
        for line in commands(remarks(told, lambda file: self._within(file, folders))):
            self._say(line)
        if self._summary:
            self._append(Path(self._summary), lambda taken: summary(told, max(2_000, min(LIMIT, _STEP_LIMIT - taken))))
        if self._output:
            view = told.view
            ended = "" if view.exit_code is None else str(view.exit_code)
            told_of = {"session": view.session, "state": view.state, "exit_code": ended, "reason": view.reason}
            text = outputs(told_of.items())
            self._append(Path(self._output), lambda _taken: text)

    def _append(self, path: Path, text: Callable[[int], str]) -> None:
        try:
            taken = path.stat().st_size if path.exists() else 0
            with path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text(taken))
        except OSError as error:
            self._say(Annotation("warning", path.name, f"{path} cannot be written: {error.strerror}").command())

    def _within(self, file: str, folders: Sequence[Path]) -> str | None:
        """The path from the repository's root; None where there is no such file in it."""
        for folder in folders:
            path = (folder / file).resolve()
            if path.is_relative_to(self._root) and path.is_file():
                return str(path.relative_to(self._root))
        return None


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
    return Annotation("error", f"{fake}: {result.id}", result.message or ", ".join(result.reasons), within(own), line)


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
