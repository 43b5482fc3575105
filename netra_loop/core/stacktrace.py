"""Stack traces, read down to the place in the service's own source where the fault is.

Python is read in full (chains, exception groups), Node, Java and Go in their plain forms. Nothing here opens a file:
where the service's source lies is a parameter. How traces are found among log entries: `trace_lines`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field
from itertools import pairwise

from netra_loop.core.records import RootCause
from netra_loop.values import dataclass

HEADER = "Traceback (most recent call last):"
_MAX_TEXT = 256 * 1024

PY_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>[^\n]+))?$')
PY_ERROR = re.compile(r"^[ |+]*(?P<exception>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
CAUSED = "The above exception was the direct cause of the following exception:"
DURING = "During handling of the above exception, another exception occurred:"
NODE_FRAME = re.compile(
    r"^\s+at (?:async )?(?:(?P<function>[^\s(][^(]*?) \()?(?:file://)?(?P<file>[^():]+):(?P<line>\d+):\d+\)?(?: \{)?$"
)
JAVA_FRAME = re.compile(r"^\s+at (?P<function>[\w.$<>/@-]+)\((?P<file>[\w$]+\.(?:java|kt|scala)):(?P<line>\d+)\)")
GO_PLACE = re.compile(r"^\t(?P<file>\S+\.go):(?P<line>\d+)(?: \+0x[0-9a-f]+)?$")
GO_PANIC = re.compile(r"^(?:(?P<kind>panic|fatal error): |.{0,100}\bpanic serving \S{1,60}: )(?P<message>.*)$")
NAMED_ERROR = re.compile(
    r"^(?:Caused by: |Uncaught |\[cause\]: |Exception in thread \S+ )?"
    r"(?P<exception>(?:[A-Za-z_$][\w.$]*)?(?:Error|Exception|Throwable))(?: \[\w+\])?(?:: (?P<message>.*))?$"
)
_FOREIGN = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|lib/python\d[\w.]*|go/pkg/mod|usr/local/go)/|^(?:<|node:|internal/)"
)
_JAVA_LIBRARY = re.compile(
    r"^(?:[\w.-]*/)*(?:javax?|jdk|sun|com\.sun|jakarta|kotlinx?|scala|org\.(?:springframework|apache|hibernate|eclipse))\."
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


@dataclass(frozen=True)
class Source:
    """Where a service's source lies: `root` is an absolute folder, `files` (relative to it) help to recognise a copy
    that ran elsewhere, such as in a container. `others` is a pattern for other folders that held it, each with its last
    slash, such as those of earlier revisions. All may be unknown."""

    root: str | None = None
    files: frozenset[str] = field(default_factory=frozenset)
    others: str | None = None

    def relative(self, file: str) -> str | None:
        """`file` relative to the source; None where it belongs to a library, the runtime or somebody else."""
        path = file.replace("\\", "/")
        root = None if self.root is None else self.root.replace("\\", "/").rstrip("/") + "/"
        if root is not None and path.startswith(root):
            inner = path.removeprefix(root)
            return None if _FOREIGN.search(inner) else inner
        found = None if self.others is None else re.match(self.others, path)
        if found is not None:
            inner = path[found.end() :]
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
        if bare.endswith(HEADER):
            calls, inside = [], True
        elif bare in {CAUSED, DURING}:
            link = "cause" if bare == CAUSED else "context"
        elif inside and (found := PY_FRAME.match(line)):
            following = lines[index + 1].strip(" |") if index + 1 < len(lines) else ""
            source = "" if PY_FRAME.match(lines[index + 1] if index + 1 < len(lines) else "") else following
            calls.append(Call(found["file"], int(found["line"]), (found["function"] or "<module>").strip(" |"), source))
        elif inside and calls and _ends_trace(line, calls[-1]) and (ended := PY_ERROR.match(line)):
            message = _message(ended["message"] or "", lines[index + 1 :])
            traces.append(Trace(ended["exception"].rpartition(".")[2], message, tuple(calls), link))
            link, inside = "", False
    return traces


def _ends_trace(line: str, last: Call) -> bool:
    """Whether `line` names the exception: it stands as far left as its header, unlike source lines and markers."""
    inner = re.sub(r"^ +[|+] ?", "", line)  # a member of a group stands further right, with its group's line before it
    named = inner.lstrip("|+ ")
    return bool(named) and named != last.source and not inner.startswith("    ") and not re.match(r"^[ |]*[~^]+", line)


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
        frame = JAVA_FRAME.match(line) or NODE_FRAME.match(line)
        if frame is not None and header is not None:
            calls.append(Call(frame["file"].strip(), int(frame["line"]), (frame["function"] or "<anonymous>").strip()))
        elif named := NAMED_ERROR.match(line.strip()):
            close()
            header, calls = named, []
    close()
    return traces[::-1]


def _parse_go(lines: Sequence[str]) -> list[Trace]:
    panic = next((found for line in lines if (found := GO_PANIC.match(line))), None)
    if panic is None:
        return []
    calls = []
    for before, line in pairwise(lines):
        if found := GO_PLACE.match(line):
            called = before.strip().removeprefix("created by ").partition(" in goroutine ")[0]
            function = called.rpartition("(")[0] if called.endswith(")") else called
            calls.append(Call(found["file"], int(found["line"]), function))
    kind = panic["kind"] or "panic"
    return [Trace(kind, panic["message"].strip(), tuple(reversed(calls)))] if calls else []


# ------------------------------------------------------------------------------------------------ the root cause


def root_cause(traces: Sequence[Trace], source: Source, entries: int = 1) -> RootCause | None:
    """The place to look at first; None for an empty chain.

    Of a chain it is the first exception, from which the others follow - unless the last one happened while another was
    being handled and is a fault of its own: raised by the service's own operation, not by a `raise` or a library.
    """
    if not traces:
        return None
    told = [one for one in traces if not one.exception.endswith("ExceptionGroup")] or traces  # a group's members
    chosen = _first_with_own_call(told, source)
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
    """The deepest call within the service's own source. Java's frames name no folder, but a package."""
    own = (call for call in reversed(trace.calls) if not _JAVA_LIBRARY.match(call.function))
    return next((call for call in own if source.relative(call.file) is not None), None)


def _first_with_own_call(traces: Sequence[Trace], source: Source) -> Trace:
    return next((trace for trace in traces if _own_call(trace, source) is not None), traces[0])
