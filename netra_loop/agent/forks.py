"""How the record of a forked process reaches its test: a file beside the worker's others, one line of JSON a piece.

Appended in one write each, so forks do not need to know of each other, and opened for that write only, so that
no test finds a descriptor that is not its own. What a fork did since it last wrote is lost if it is killed; at most a
tenth of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from .wire import Message

# taken hold of at import: tests may put another file system in place of these
_OPEN, _WRITE, _CLOSE, _READ, _UNLINK, _PID = os.open, os.write, os.close, os.read, os.unlink, os.getpid
_STAT = os.stat
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_LARGEST = 1 << 26  # bytes of such a file that are read


def writer(path: str, trace: str | None) -> Callable[[Callable[[], Message | None]], None]:
    """A sink of `evidence` that appends to `path`. Contacts are written as what came to them since the last time.

    `trace` is of the test that forked; None where the fork serves whichever test runs.
    """
    told: dict[tuple[Any, ...], tuple[float, float]] = {}
    pid = _PID()

    def write(news: Callable[[], Message | None]) -> None:
        message = news()
        if message is None:
            return
        rows = []
        for row in message.get("contacts", ()):
            sent, received = row[2:4]
            before = told.get(_whose(row), (0, 0))
            told[_whose(row)] = (sent, received)
            rows.append([*row[:2], sent - before[0], received - before[1], *row[4:]])
        line = _encode({**message, "pid": pid, "trace": trace, "contacts": rows}).encode() + b"\n"
        number = _OPEN(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _WRITE(number, line)
        finally:
            _CLOSE(number)

    return write


def forget(path: str) -> None:
    """What was written after its test had ended belongs to nobody."""
    with contextlib.suppress(OSError):  # there is none: the usual case
        _UNLINK(path)


def lines(path: str, largest: int = _LARGEST) -> list[Message]:
    """The pieces in the first `largest` bytes written so far. A torn last line is left out."""
    try:
        number = _OPEN(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        content = b""
        while len(content) < largest:
            piece = _READ(number, min(1 << 20, largest - len(content)))
            if not piece:
                break
            content += piece
    finally:
        _CLOSE(number)
    found = []
    for line in content.split(b"\n"):
        try:
            found.append(_decode(line.decode()))
        except ValueError:
            continue
    return found


def merge(seen: Message, path: str, since: float, trace: str, largest: int = _LARGEST) -> None:
    """Adds what the forks of a test wrote to what its own process saw, and removes the file.

    `since` is when the test began, `trace` its own: what a fork of an earlier test goes on to do is not this test's.
    What lies beyond the first `largest` bytes is left out, and that is told among `blind`.
    """
    pieces = lines(path, largest)
    with contextlib.suppress(OSError):  # the usual case: no fork wrote anything
        if _STAT(path).st_size > largest:
            seen["blind"].append(f"forks wrote more than {largest} bytes of evidence, what came after is left out")
    if not pieces:
        return
    forget(path)
    pieces = [piece for piece in pieces if piece.get("trace") in (None, trace)]
    contacts = {_whose(row): row for row in seen["contacts"]}
    exchanges: dict[tuple[int, int], Message] = {}
    for piece in pieces:
        for row in piece["contacts"]:
            _add(contacts, row)
        exchanges.update(((piece["pid"], number), entry) for number, entry in piece["exchanges"])
        seen["frames"] += [frame for _, frame in piece["frames"]]
        for kind in ("mocked", "blind"):
            seen[kind] += [name for name in piece.get(kind, ()) if name not in seen[kind]]
    seen["children"] += [one for one in _children(pieces) if one[1] >= since]
    seen["contacts"] = list(contacts.values())
    seen["exchanges"] += [entry for entry in exchanges.values() if not entry.get("unreal")]
    for kind in ("exchanges", "frames"):
        seen[kind] = sorted((one for one in seen[kind] if one["at"] >= since), key=lambda one: one["at"])
    for whole in {piece["pid"]: piece["left_out"] for piece in pieces if "left_out" in piece}.values():
        seen["left_out"] = [sum(both) for both in zip(seen["left_out"], whole)]  # noqa: B905 - Python 3.9 has no strict


def _whose(row: list[Any]) -> tuple[Any, ...]:
    return (*row[:2], *row[6:])  # a peer, and the thread that does not work for the test


def _add(contacts: dict[Any, list[Any]], row: list[Any]) -> None:
    known = contacts.setdefault(_whose(row), [*row[:2], 0, 0, *row[4:]])
    known[2] += row[2]
    known[3] += row[3]
    known[4], known[5] = min(known[4], row[4]), max(known[5], row[5])


def _children(pieces: list[Message]) -> list[Any]:
    # each piece that tells any tells all of its process
    whole = {piece["pid"]: piece["children"] for piece in pieces if "children" in piece}
    return [one for children in whole.values() for one in children]
