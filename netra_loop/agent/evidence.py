"""What the running test did to the network, kept for it alone: one test at a time runs in a worker.

A process that the test forks keeps a record of its own and writes it down piece by piece (`forks`); `end` adds it to
the test's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import forks
from .wire import Message, clean, monotonic, wall

_LIMIT = 2000  # exchanges, frames, and contacts, kept of one test; what comes after is only counted
_BODY = 2000
_CHILDREN = 200
_BLIND = 5  # failures of our own observers that are told of one test
_AT_ONCE = 300  # messages of one test that are sent as it makes them; those after wait for their turn
_PAUSE_S = 0.1
_ROWS = 50  # exchanges, frames and contacts in one such message
_VARIABLE = "TRACEPARENT"  # how OpenTelemetry hands a trace to programs
_PARENT_SPAN = "f" * 16

Sink = Callable[[Callable[[], "Message | None"]], None]


class Record:
    """The evidence of one test while it runs."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        self.began = wall()
        self.spans = 0
        self.contacts: dict[tuple[str, int], list[float]] = {}
        self.received = 0  # bytes, from whomever
        self.idle: dict[tuple[str, int], list[int]] = {}  # bytes of pings and pongs, by the URL's host and port
        self.exchanges: list[Message] = []
        self.frames: list[Message] = []
        self.mocked: dict[str, None] = {}
        self.children: list[tuple[str, float]] = []
        self.blind: dict[str, None] = {}
        self.frames_told = 0
        self.untold: dict[int, Message] = {}  # exchanges that changed since they were told
        self.unanswered: set[int] = set()
        self.moved = False  # contacts, mocks or children changed since they were told
        self.messages = 0
        self.told_at = 0.0
        self.contacts_due = 0.0

    def news(self, limit: int = _ROWS) -> Message | None:
        """What was not told yet, at most `limit` of each kind; None where there is nothing."""
        if not self.moved and not self.untold and self.frames_told == len(self.frames):
            return None
        standing = self.standing(limit) if self.moved else {}
        self.moved = False
        first = self.frames_told
        frames = self.frames[first : first + limit]
        self.frames_told = first + len(frames)
        changed = [(number, self.untold.pop(number, None)) for number in list(self.untold)[:limit]]
        return {
            "frames": list(enumerate(frames, first)),
            "exchanges": [(number, dict(entry)) for number, entry in changed if entry is not None],
            **standing,
        }

    def standing(self, limit: int | None = None) -> Message:
        """What is told whole where any of it changed, and replaces what was told before."""
        return {
            "contacts": self.peers(limit),
            "mocked": list(self.mocked)[:limit],
            "children": self.children[:limit],
            "blind": list(self.blind),
        }

    def peers(self, limit: int | None = None) -> list[list[Any]]:
        """The contacts as rows. What keeps connections alive is not counted."""
        known = list(self.contacts.items())[:limit]
        rows: list[list[Any]] = [[host, port, *numbers] for (host, port), numbers in known]
        for (host, port), (sent, received) in list(self.idle.items()):
            there = [row for row in rows if row[1] == port]
            named = [row for row in there if row[0] == host] or there
            if len(named) == 1:  # else it went by another name, or to a host that several names stand for
                named[0][2] = max(0, named[0][2] - sent)
                named[0][3] = max(0, named[0][3] - received)
        return rows


_sink: Sink | None = None
_current: Record | None = None
_forked: str | None = None  # the file in which forks of the running test write down what they do
_forks = 0  # since this process began; while there are none, nobody looks for that file
_active_mocks: dict[str, int] = {}
_missing: dict[str, None] = {}  # observers that could not be put in place
_counters: list[Callable[[], None]] = []
_apart = 0
_variable: tuple[str, str | None] | None = None  # what was put into the environment, and what stood there before


def begin(trace: str, sink: Sink | None = None, forked: str | None = None) -> None:
    """From here on everything belongs to the test with this trace id; `sink` is offered it piece by piece.

    `forked` names the file in which forks of this process may write down theirs. Where there is a sink,
    the environment carries the test's trace to the programs it starts.
    """
    global _current, _sink, _forked
    _count()
    if forked is not None and _forks:
        forks.forget(forked)
    record = Record(trace)
    record.mocked.update(dict.fromkeys(_active_mocks))
    record.blind.update(_missing)
    if sink is not None:
        _export(trace)
    _current, _sink, _forked = record, sink, forked


def rest() -> Message | None:
    """What `begin`'s sink was not given yet, and the contacts as they stand."""
    record = _current
    if record is None:
        return None
    _count()
    news = record.news(_LIMIT) or {"frames": [], "exchanges": []}
    return {**news, **record.standing()}


def end() -> Message:
    """What was seen since `begin`, as plain values."""
    global _current, _sink, _forked
    _count()
    record, path = _current, _forked
    _current, _sink, _forked = None, None, None
    _unexport()
    if record is None:
        return {}
    seen = {
        "exchanges": [entry for entry in record.exchanges if not entry.get("unreal")],
        "frames": list(record.frames),
        **record.standing(),
    }
    if path is not None and _forks:
        forks.merge(seen, path, record.began)
    return seen


def note_fork() -> None:
    """The process was forked: from here on others may write what they do."""
    global _forks
    _forks += 1


def continue_in_fork() -> None:
    """In a fork of the running test's process: a record of its own, written down as it grows."""
    global _current, _sink
    if _current is None:
        return
    record = Record(_current.trace)
    record.spans = os.getpid() << 32  # no span of the parent's
    _current, _sink = record, None if _forked is None else forks.writer(_forked)


def running() -> bool:
    """Whether a test runs here that is observed."""
    return _sink is not None


def flush() -> None:
    """Tells what is left to tell, now: this process is about to become another, or to end."""
    record = _current
    if record is not None:
        _count()
        record.moved = True
        _tell(record, at_once=True)


def count_with(counter: Callable[[], None]) -> None:
    """`counter` is called whenever contacts are looked at: for those that count bytes by asking for them."""
    _counters.append(counter)


def _count() -> None:
    for counter in _counters:
        counter()


def _export(trace: str) -> None:
    global _variable
    value = f"00-{trace}-{_PARENT_SPAN}-01"
    _variable = (value, os.environ.get(_VARIABLE))
    os.environ[_VARIABLE] = value


def _unexport() -> None:
    global _variable
    if _variable is None:
        return
    (value, before), _variable = _variable, None
    if os.environ.get(_VARIABLE) != value:
        return  # the test's own doing
    if before is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = before


def blind(error: Exception) -> None:
    """One of our observers failed: the test must not notice, but whoever reads its evidence must know of the gap."""
    record = _current
    if record is not None and len(record.blind) < _BLIND:
        record.blind[f"{type(error).__name__}: {clean(str(error))[:200]}"] = None
        record.moved = True


def blind_to(what: str, error: Exception) -> None:
    """An observer could not be put in place: what `what` does goes unseen, in this test and in those that follow."""
    text = f"{what} is not observed: {type(error).__name__}: {clean(str(error))[:200]}"
    _missing[text] = None
    if _current is not None:
        _current.blind[text] = None


def traceparent() -> str | None:
    """The W3C header for the next request, None while no test runs."""
    record = _current
    if record is None:
        return None
    record.spans += 1
    return f"00-{record.trace}-{record.spans:016x}-01"


def contact(host: str, port: int, sent: int, received: int) -> None:
    """Bytes went to or came from a peer."""
    record = _current
    if record is None or _apart > 0:
        return
    now = wall()
    entry = record.contacts.get((host, port))
    if entry is None:
        if len(record.contacts) >= _LIMIT:
            return
        record.contacts[host, port] = [sent, received, now, now]
        news = now >= record.contacts_due
    else:
        news = now >= record.contacts_due or (received > 0 and entry[1] == 0)
        entry[0] += sent
        entry[1] += received
        entry[3] = now
    record.received += received
    record.moved = True
    if news and not record.unanswered:  # else the answer will tell
        _tell(record)


def apart(change: int) -> None:
    """1: what comes from here on is of a fixture that tests share, and no contact of the running test; -1: no more."""
    global _apart
    _count()  # what was counted till now is of the time till now
    _apart += change


def kept_alive(host: str, port: int, sent: int, received: int) -> None:
    """So many of the bytes that `contact` tells of only kept a connection alive."""
    record = _current
    if record is not None and not _apart and (len(record.idle) < _LIMIT or (host, port) in record.idle):
        entry = record.idle.setdefault((host, port), [0, 0])
        entry[0] += sent
        entry[1] += received


def received() -> int:
    """Bytes that came from anywhere since the test began."""
    _count()
    return 0 if _current is None else _current.received


def exchange(method: str, url: str) -> Message:
    """An HTTP request starts; `answered` or `failed` completes what is returned."""
    entry: Message = {
        "method": str(method),
        "url": clean(url),
        "status": None,
        "at": wall(),
        "duration": 0.0,
        "error": None,
    }
    record = _current
    if record is not None and len(record.exchanges) < _LIMIT:
        record.exchanges.append(entry)
        number = entry["number"] = len(record.exchanges) - 1
        record.unanswered.add(number)
        _changed(entry)
    return entry


def answered(entry: Message, status: int, url: str | None = None) -> None:
    """The answer's head arrived; `url` where it turned out to be another than was asked for."""
    entry["status"] = int(status)
    entry["duration"] = wall() - entry["at"]
    if url is not None:
        entry["url"] = clean(url)
    _changed(entry, over=True)


def failed(entry: Message, error: BaseException) -> None:
    """No answer came."""
    entry["error"] = clean(f"{type(error).__name__}: {error}")[:500]
    entry["duration"] = wall() - entry["at"]
    _changed(entry, over=True)


def unreal(entry: Message) -> None:
    """It turned out that this exchange never was one: something in this process answered it."""
    entry["unreal"] = True
    _changed(entry, over=True)


def body(entry: Message, content: bytes) -> None:
    """The body of an answer, or the next piece of it; kept only of a short error."""
    status = entry.get("status")
    if status is None or status < 400 or not content:
        return
    size = entry.get("size", 0) + len(content)
    entry["size"] = size
    if size <= _BODY:
        entry["body"] = entry.get("body", "") + clean(content.decode("utf-8", "replace"))
        _changed(entry)
    elif entry.pop("body", None) is not None:
        _changed(entry)


def frame(url: str, kind: str, direction: str, **more: Any) -> None:
    """One event in the life of a WebSocket."""
    record = _current
    if record is not None and len(record.frames) < _LIMIT:
        record.frames.append(dict(more, url=clean(url), kind=kind, direction=direction, at=wall()))
        _tell(record)


def child(program: str) -> None:
    """The test starts a program."""
    record = _current
    if record is not None and len(record.children) < _CHILDREN:
        record.children.append((clean(program)[:200], wall()))
        record.moved = True
        _tell(record)


def _changed(entry: Message, *, over: bool = False) -> None:
    record, number = _current, entry.get("number")
    if record is None or number is None or number >= len(record.exchanges):
        return
    if record.exchanges[number] is entry:  # else it was begun by an earlier test
        if over:
            record.unanswered.discard(number)
        record.untold[number] = entry
        _tell(record)


def _tell(record: Record, *, at_once: bool = False) -> None:
    """Offers the news to the orchestrator, which keeps them in case this process is killed. Never fails the test."""
    sink = _sink
    if sink is None:
        return
    now = monotonic()
    if record.messages >= _AT_ONCE and now - record.told_at < _PAUSE_S and not at_once:
        return
    try:
        sink(record.news)
    except Exception:
        return  # the orchestrator is gone, another thread changed what is being told, or the test forbids what it
        # takes (a detector of blocking calls does): the test's end tells it all
    record.messages += 1
    record.told_at = now
    record.contacts_due = wall() + _PAUSE_S


def mock_entered(name: str) -> None:
    """Something of a network client was replaced."""
    _active_mocks[name] = _active_mocks.get(name, 0) + 1
    mock_seen(name)


def mock_seen(name: str) -> None:
    """Something stood in for a network client."""
    record = _current
    if record is not None and len(record.mocked) < _CHILDREN:
        record.mocked[clean(name)[:200]] = None
        record.moved = True


def mock_left(name: str) -> None:
    """And was put back."""
    left = _active_mocks.get(name, 0) - 1
    if left > 0:
        _active_mocks[name] = left
    else:
        _active_mocks.pop(name, None)
