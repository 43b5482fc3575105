"""Stack traces in log entries, read down to the place in the service's own source where the fault is.

Python is read in full (chains, exception groups, one entry or one line per entry), Node, Java and Go in their plain
forms. Nothing here opens a file: where the service's source lies is a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from netra_loop.core.records import LogEntry, RootCause

JOIN_GAP = timedelta(seconds=0.5)  # lines of one trace are written together; a longer pause ends it
_HEADER = "Traceback (most recent call last):"
_MAX_DEPTH = 6
_MAX_TEXT = 256 * 1024

_PY_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>[^\n]+))?$')
_PY_ERROR = re.compile(r"^[ |+]*(?P<exception>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_CAUSED = "The above exception was the direct cause of the following exception:"
_DURING = "During handling of the above exception, another exception occurred:"
_NODE_FRAME = re.compile(
    r"^\s+at (?:async )?(?:(?P<function>[^\s(][^(]*?) \()?(?:file://)?(?P<file>[^():]+):(?P<line>\d+):\d+\)?$"
)
_JAVA_FRAME = re.compile(r"^\s+at (?P<function>[\w.$<>]+)\((?P<file>[\w$]+\.(?:java|kt|scala)):(?P<line>\d+)\)")
_GO_PLACE = re.compile(r"^\t(?P<file>\S+\.go):(?P<line>\d+)(?: \+0x[0-9a-f]+)?$")
_NAMED_ERROR = re.compile(
    r"^(?:Caused by: |Uncaught |Exception in thread \S+ )?"
    r"(?P<exception>[A-Za-z_$][\w.$]*(?:Error|Exception|Throwable))(?:: (?P<message>.*))?$"
)
_FOREIGN = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|lib/python\d[\w.]*|go/pkg/mod|usr/local/go)/|^(?:<|node:|internal/)"
)
_CONTAINER_ROOTS = ("/app/", "/workspace/", "/usr/src/app/", "/srv/", "/code/")


@dataclass(frozen=True, slots=True)
class Call:
    """One frame of a stack: `source` is its line of source text, empty where the trace shows none."""

    file: str
    line: int
    function: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """One exception and the stack it was raised from, outermost call first. `link` says how it follows the trace before
    it in a chain: "cause", "context", or empty for the first."""

    exception: str
    message: str
    calls: tuple[Call, ...]
    link: str = ""


@dataclass(frozen=True, slots=True)
class Thrown:
    """An exception that the logs show: where it came from and the entries that tell of it, in order, never empty."""

    cause: RootCause
    entries: tuple[LogEntry, ...]

    @property
    def trace_id(self) -> str | None:
        """The trace of the first entry that carries one."""
        return next((entry.trace_id for entry in self.entries if entry.trace_id), None)

    @property
    def at(self) -> datetime:
        """When it was logged."""
        return self.entries[0].timestamp


@dataclass(frozen=True)
class Source:
    """Where a service's source lies: `root` is an absolute folder, `files` (relative to it) help to recognise a copy
    that ran elsewhere, such as in a container. Both may be unknown."""

    root: str | None = None
    files: frozenset[str] = field(default_factory=frozenset)

    def relative(self, file: str) -> str | None:
        """`file` relative to the source; None where it belongs to a library, the runtime or somebody else."""
        path = file.replace("\\", "/")
        root = None if self.root is None else self.root.replace("\\", "/").rstrip("/") + "/"
        if root is not None and path.startswith(root):
            inner = path.removeprefix(root)
            return None if _FOREIGN.search(inner) else inner
        if _FOREIGN.search(path):
            return None
        for known in self.files:
            if path == known or path.endswith("/" + known):
                return known
        for prefix in _CONTAINER_ROOTS:
            if path.startswith(prefix):
                return path.removeprefix(prefix)
        return None if path.startswith("/") or re.match(r"[A-Za-z]:/", path) else path.removeprefix("./")


# ---------------------------------------------------------------------------------------------------- reading text


def parse(text: str) -> list[Trace]:
    """The chain of traces in `text`, first raised first; empty where there is none. Never raises."""
    lines = text[:_MAX_TEXT].replace("\r\n", "\n").split("\n")
    return _parse_python(lines) or _parse_at(lines) or _parse_go(lines)


def _parse_python(lines: Sequence[str]) -> list[Trace]:
    traces: list[Trace] = []
    link, calls, inside = "", list[Call](), False
    for index, line in enumerate(lines):
        bare = line.strip(" |+-0123456789") if line.lstrip().startswith(("|", "+")) else line.strip()
        if bare.endswith(_HEADER):
            calls, inside = [], True
        elif bare in {_CAUSED, _DURING}:
            link = "cause" if bare == _CAUSED else "context"
        elif inside and (found := _PY_FRAME.match(line)):
            following = lines[index + 1].strip(" |") if index + 1 < len(lines) else ""
            source = "" if _PY_FRAME.match(lines[index + 1] if index + 1 < len(lines) else "") else following
            calls.append(Call(found["file"], int(found["line"]), (found["function"] or "<module>").strip(" |"), source))
        elif inside and calls and _ends_trace(line, calls[-1]) and (ended := _PY_ERROR.match(line)):
            message = _message(ended["message"] or "", lines[index + 1 :])
            traces.append(Trace(ended["exception"].rpartition(".")[2], message, tuple(calls), link))
            link, inside = "", False
    return traces


def _ends_trace(line: str, last: Call) -> bool:
    """Whether `line` names the exception: it stands as far left as its header, unlike source lines and markers."""
    indent = line.lstrip("|+ ")
    return bool(indent) and indent != last.source and not line.startswith("    ") and not re.match(r"^[ |]*[~^]+", line)


def _message(first: str, following: Sequence[str]) -> str:
    """The message; where its own line is empty, the next one that says something."""
    if first.strip():
        return first.strip()
    return following[0].strip() if following and following[0].startswith(" ") and "|" not in following[0] else ""


def _parse_at(lines: Sequence[str]) -> list[Trace]:
    """Node and Java: the error, then `at` lines from the innermost call out. What is told last was raised first."""
    traces: list[Trace] = []
    header: re.Match[str] | None = None
    calls: list[Call] = []

    def close() -> None:
        if header is not None and calls:
            exception = header["exception"].rpartition(".")[2]
            traces.append(Trace(exception, (header["message"] or "").strip(), tuple(reversed(calls)), "cause"))

    for line in lines:
        frame = _JAVA_FRAME.match(line) or _NODE_FRAME.match(line)
        if frame is not None and header is not None:
            calls.append(Call(frame["file"].strip(), int(frame["line"]), (frame["function"] or "<anonymous>").strip()))
        elif named := _NAMED_ERROR.match(line.strip()):
            close()
            header, calls = named, []
    close()
    return traces[::-1]


def _parse_go(lines: Sequence[str]) -> list[Trace]:
    panic = next((line for line in lines if line.startswith(("panic: ", "fatal error: "))), None)
    if panic is None:
        return []
    calls = []
    for before, line in pairwise(lines):
        if found := _GO_PLACE.match(line):
            function = before.strip().removeprefix("created by ").partition("(")[0]
            calls.append(Call(found["file"], int(found["line"]), function))
    kind, _, message = panic.partition(": ")
    return [Trace(kind, message.strip(), tuple(reversed(calls)))] if calls else []


# ------------------------------------------------------------------------------------------------ the root cause


def root_cause(traces: Sequence[Trace], source: Source, entries: int = 1) -> RootCause | None:
    """The place to look at first; None for an empty chain.

    Of a chain it is the first exception, from which the others follow - unless the last one happened while another was
    being handled and is a fault of its own: raised by the service's own operation, not by a `raise` or a library.
    """
    if not traces:
        return None
    chosen = traces[0] if _own_call(traces[0], source) is not None else _first_with_own_call(traces, source)
    last = traces[-1]
    if last.link == "context" and last.calls:
        innermost = last.calls[-1]
        if (
            source.relative(innermost.file) is not None
            and innermost.source
            and not innermost.source.startswith("raise")
        ):
            chosen = last
    call = _own_call(chosen, source)
    if call is None:
        call = chosen.calls[-1]
    file = source.relative(call.file) or call.file
    return RootCause(file, call.line, call.function, chosen.exception, chosen.message, entries)


def _own_call(trace: Trace, source: Source) -> Call | None:
    """The deepest call within the service's own source."""
    return next((call for call in reversed(trace.calls) if source.relative(call.file) is not None), None)


def _first_with_own_call(traces: Sequence[Trace], source: Source) -> Trace:
    return next((trace for trace in traces if _own_call(trace, source) is not None), traces[0])


# ---------------------------------------------------------------------------------------------------- log entries


def thrown(entries: Iterable[LogEntry], sources: Mapping[str, Source]) -> list[Thrown]:
    """Every exception that `entries` show, in the order of time; `sources` by service.

    An entry that holds a whole trace (in its message or anywhere in its payload) is one. Traces split into an entry per
    line are put together for each revision and stream.
    """
    found: list[Thrown] = []
    ordered = sorted(
        entries, key=lambda entry: (entry.service, entry.revision, entry.log, entry.timestamp, entry.insert_id)
    )
    for (service, _, log), stream in groupby(ordered, key=lambda entry: (entry.service, entry.revision, entry.log)):
        if log == "requests":
            continue
        for group, text in _grouped(stream):
            cause = root_cause(parse(text), sources.get(service, Source()))
            if cause is not None:
                found.append(Thrown(cause, group))
    return sorted(found, key=lambda one: one.at)


def _grouped(stream: Iterable[LogEntry]) -> Iterator[tuple[tuple[LogEntry, ...], str]]:
    """The stream in pieces that may hold one trace each, with their text. A structured entry stands for itself, also
    between the lines of a trace."""
    open_lines: list[LogEntry] = []
    for entry in stream:
        text = trace_text(entry)
        if entry.payload is not None or ("\n" in entry.message.strip() and text):
            if text:
                yield (entry,), text
        elif open_lines and _continues(open_lines, entry):
            open_lines.append(entry)
        else:
            if open_lines:
                yield tuple(open_lines), _lines(open_lines)
            open_lines = [entry] if _opens(entry.message) else []
    if open_lines:
        yield tuple(open_lines), _lines(open_lines)


def _lines(entries: Sequence[LogEntry]) -> str:
    return "\n".join(entry.message.rstrip("\n") for entry in entries)


def _opens(line: str) -> bool:
    bare = line.strip()
    return (
        bare.endswith(_HEADER) or bare.startswith(("panic: ", "fatal error: ")) or _NAMED_ERROR.match(bare) is not None
    )


def _continues(so_far: Sequence[LogEntry], entry: LogEntry) -> bool:
    """Whether `entry` is the next line of the trace: indented, or what ends or links traces."""
    if entry.timestamp - so_far[-1].timestamp > JOIN_GAP:
        return False
    line, bare = entry.message, entry.message.strip()
    before = so_far[-1].message
    python = any(one.message.strip().endswith(_HEADER) for one in so_far)
    if not bare or line[:1] in {" ", "\t"} or bare in {_CAUSED, _DURING} or bare.startswith("Caused by: "):
        return True
    if not python:
        return so_far[0].message.startswith(("panic: ", "fatal error: "))
    if bare.endswith(_HEADER):
        return any(one.message.strip() in {_CAUSED, _DURING} for one in so_far[-3:])
    return before[:1] in {" ", "\t"} and _PY_ERROR.match(line) is not None


def trace_text(entry: LogEntry) -> str:
    """The trace that one entry holds by itself, from its message or from any text in its payload; empty where none."""
    candidates = [entry.message, *_strings(entry.payload, 0)]
    holding = [
        text
        for text in candidates
        if "\n" in text and (_HEADER in text or "\n    at " in text or "\n\tat " in text or "goroutine " in text)
    ]
    return max(holding, key=len, default="")


def _strings(value: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item, depth + 1)
