"""Stack traces whose lines are still coming: which of them a line goes to.

A Node trace and a Java trace begin alike; the name of the error or the first frame tells them apart. Lines carry
nothing that says which of two traces of one kind they continue, unless they have a trace id: where two wait for a
frame, both go without it and without all that follow, for a place that may be another's would be worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from netra_loop.core.records import LogEntry
from netra_loop.core.stacktrace import (
    CAUSED,
    DURING,
    GO_PANIC,
    GO_PLACE,
    HEADER,
    JAVA_FRAME,
    NAMED_ERROR,
    NODE_FRAME,
    PY_ERROR,
    PY_FRAME,
)

_AT_KINDS = frozenset({"at", "node", "java"})
_MOST_LINES = 500
_PAUSE = timedelta(seconds=0.02)  # what is written at one time has none as long
_NODE_DEPTH = 10  # frames that Node prints unless it is told otherwise
_GO_CALL = re.compile(r"^(?:created by .*|[\w./*()\[\]{}-]+\(.*\))$")
_GO_OTHER = re.compile(r"^(?:\[signal |exit status |\tpanic: )")
_GOROUTINE = re.compile(r"^goroutine \d+ ")
_LEVEL = re.compile(r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b")  # no name of an exception
_JAVA_AT = re.compile(r"^\s+at [\w.$<>/@-]+\((?:[\w$]+\.(?:java|kt|scala)|Native Method|Unknown Source)\)")
_JAVA_MORE = re.compile(r"^\s*\.\.\. \d+ (?:more|common frames omitted)")
_JAVA_NAME = re.compile(r"^(?:Caused by: |Exception in thread |[a-z_]\w*\.(?:[\w$]+\.)*[A-Z])")
_NODE_NAME = re.compile(
    r"^(?:Uncaught )?(?:(?:Type|Range|Syntax|Reference|Eval|URI|Aggregate|Assertion)?Error\b|[\w$]+ \[\w+\])"
)


def opens(line: str) -> str | None:
    """The kind of trace that begins with `line`: python, go, node, java, or at (one of the last two); None where none
    does.
    """
    if HEADER in line and line.strip().endswith(HEADER):
        return "python"
    if "panic" in line or line.startswith("fatal error: "):
        return "go" if GO_PANIC.match(line) else None
    if "Error" in line or "Exception" in line or "Throwable" in line:
        bare = line.strip()
        if not NAMED_ERROR.match(bare):
            return None
        return "java" if _JAVA_NAME.match(bare) else "node" if _NODE_NAME.match(bare) else "at"
    return None


@dataclass(slots=True)
class Waiting:
    """A trace whose lines are coming. `kind`: as `opens` says. `state` is Python's: frames, ended, linked. `spoilt`:
    lines were left out, so that no more are taken. `over`: it waits for nothing.
    """

    kind: str
    entries: list[LogEntry]
    state: str = "frames"
    spoilt: bool = False
    over: bool = False
    frames: int = 0
    first_frame: str = ""
    last_at: datetime = field(init=False)
    last: str = field(init=False)

    def __post_init__(self) -> None:
        self.last_at, self.last = self.entries[0].timestamp, self.entries[0].message

    def add(self, entry: LogEntry) -> None:
        """Takes the line, which it wants."""
        line, bare = entry.message, entry.message.strip()
        if self.kind == "python":
            self._turn(line, bare)
        elif (frame := _frame(line)) is not None:
            self.kind = frame if self.kind == "at" else self.kind
            self.first_frame = self.first_frame or line
            self.frames += 1
        if len(self.entries) < _MOST_LINES and not self.spoilt:
            self.entries.append(entry)
        self.last_at, self.last = entry.timestamp, line

    def spoil(self, entry: LogEntry) -> None:
        """Goes without the line, which may be its own, and without all that follow."""
        self.spoilt = True
        self.last_at, self.last = entry.timestamp, entry.message

    def _turn(self, line: str, bare: str) -> None:
        if not bare:
            return
        if bare in {CAUSED, DURING}:
            self.state = "linked"
        elif bare.endswith(HEADER):
            self.state = "frames"
        elif line[:1] not in {" ", "\t"}:
            self.state = "ended"

    def is_over(self, kind: str, at: datetime) -> bool:
        """Whether nothing more comes of it, now that one of `kind` begins."""
        alike = kind == self.kind or ("at" in {kind, self.kind} and {kind, self.kind} <= _AT_KINDS)
        if self.kind == "python" or not alike:
            return False
        if at - self.last_at > _PAUSE:
            return True
        if self.kind == "java":
            return ".Thread.run(" in self.last or _JAVA_MORE.match(self.last) is not None
        if self.kind == "node":
            return self.frames >= _NODE_DEPTH or ("node:" in self.last and "task_queues" not in self.last)
        return False

    def wants(self, line: str) -> int:
        """How well `line` goes behind the last one: 0 not at all, 2 as the very one that is waited for."""
        bare, indented = line.strip(), line[:1] in {" ", "\t"}
        if not bare or self.over:
            return int(not self.over)
        if self.kind == "python":
            return self._python_wants(line, bare, indented=indented)
        if self.kind == "go":
            return self._go_wants(line)
        frame = _frame(line)
        if frame is not None:
            return 2 * int(frame == self.kind or (self.kind == "at" and frame in {"node", "java"}))
        if _is_python_frame(line):
            return 0
        if bare.startswith(("Caused by: ", "Suppressed: ")) or _JAVA_MORE.match(line):
            return 2 * int(self.kind != "node" and self.frames > 0)
        return int(indented)

    def _go_wants(self, line: str) -> int:
        if GO_PLACE.match(line):
            return 2 * int(_GO_CALL.match(self.last) is not None) or int(self.spoilt)
        if _GOROUTINE.match(line):
            return 1 + int(not self.frames)
        return 2 * int(_GO_CALL.match(line) is not None) or int(_GO_OTHER.match(line) is not None)

    def _python_wants(self, line: str, bare: str, *, indented: bool) -> int:
        frame = indented and _is_python_frame(line)
        if self.state == "frames":
            if indented:
                return 0 if _frame(line) is not None else 1 + (frame != _is_python_frame(self.last))
            return int(self.last[:1] in {" ", "\t"} and PY_ERROR.match(line) is not None and not _LEVEL.match(line))
        if self.state == "ended":
            return 2 * int(bare in {CAUSED, DURING}) or int(indented and not frame and _frame(line) is None)
        return 2 * int(bare.endswith(HEADER))


def give(entry: LogEntry, waiting: Sequence[Waiting]) -> bool:
    """Whether one of the traces wants the line. It goes to one of the entry's own trace first; of several Python traces
    to that which waited longest; of others only to one that alone waits for it.
    """
    line = entry.message
    if len(waiting) == 1:
        if not waiting[0].wants(line):
            return False
        waiting[0].add(entry)
        return True
    wanted = [(one.wants(line), _is_own(one, entry), one) for one in waiting]
    best = max((rank[:2] for rank in wanted if rank[0]), default=None)
    if best is None:
        return False
    among = [one for score, own, one in wanted if (score, own) == best]
    if len(among) > 1 and best[0] > 1 and any(one.kind != "python" for one in among):
        again = [one for one in among if not one.frames and not one.spoilt]
        if len(again) == 1 and any(one.first_frame == line for one in among):
            again[0].add(entry)  # the same error once more
            for one in among:
                one.over = one is not again[0]
            return True
        for one in among:
            one.spoil(entry)
        return True
    min(among, key=lambda one: one.last_at).add(entry)
    return True


def _is_own(one: Waiting, entry: LogEntry) -> bool:
    return entry.trace_id is not None and one.entries[0].trace_id == entry.trace_id


def _is_python_frame(line: str) -> bool:
    return 'File "' in line and PY_FRAME.match(line) is not None


def _frame(line: str) -> str | None:
    """Whose frame `line` is: java, node or go; None: no such frame."""
    if "at " not in line:  # nor is it of Node or Java
        return "go" if GO_PLACE.match(line) else None
    if GO_PLACE.match(line):
        return "go"
    if JAVA_FRAME.match(line) or _JAVA_AT.match(line):
        return "java"
    return "node" if NODE_FRAME.match(line) else None
