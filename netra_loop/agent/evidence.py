"""What the running test did to the network, kept for it alone: one test at a time runs in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .wire import Message, clean, monotonic, wall

_LIMIT = 2000  # exchanges, and frames, kept of one test; what comes after is only counted
_BODY = 2000
_BLIND = 5  # failures of our own observers that are told of one test
_AT_ONCE = 300  # messages of one test that are sent as it makes them; those after wait for their turn
_PAUSE_S = 0.1
_ROWS = 50  # exchanges, frames and contacts in one such message

Sink = Callable[[Callable[[], "Message | None"]], None]


class Record:
    """The evidence of one test while it runs."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        self.spans = 0
        self.contacts: dict[tuple[str, int], list[float]] = {}
        self.exchanges: list[Message] = []
        self.frames: list[Message] = []
        self.mocked: dict[str, None] = {}
        self.blind: dict[str, None] = {}
        self.frames_told = 0
        self.untold: dict[int, Message] = {}  # exchanges that changed since they were told
        self.messages = 0
        self.told_at = 0.0

    def news(self, limit: int = _ROWS) -> Message | None:
        """What was not told yet, at most `limit` of each kind; None where there is nothing."""
        if not self.untold and self.frames_told == len(self.frames):
            return None
        first = self.frames_told
        frames = self.frames[first : first + limit]
        self.frames_told = first + len(frames)
        changed = [(number, self.untold.pop(number, None)) for number in list(self.untold)[:limit]]
        return {
            "frames": list(enumerate(frames, first)),
            "exchanges": [(number, dict(entry)) for number, entry in changed if entry is not None],
            "contacts": self.peers(limit),
            "mocked": list(self.mocked)[:limit],
        }

    def peers(self, limit: int | None = None) -> list[list[Any]]:
        """The contacts as rows."""
        return [[host, port, *numbers] for (host, port), numbers in list(self.contacts.items())[:limit]]


_sink: Sink | None = None
_current: Record | None = None
_active_mocks: dict[str, int] = {}


def begin(trace: str, sink: Sink | None = None) -> None:
    """From here on everything belongs to the test with this trace id; `sink` is offered it piece by piece."""
    global _current, _sink
    record = Record(trace)
    record.mocked.update(dict.fromkeys(_active_mocks))
    _current, _sink = record, sink


def rest() -> Message | None:
    """What `begin`'s sink was not given yet, and the contacts as they stand."""
    record = _current
    if record is None:
        return None
    news = record.news(_LIMIT) or {"frames": [], "exchanges": []}
    return {**news, "contacts": record.peers(), "mocked": list(record.mocked)}


def end() -> Message:
    """What was seen since `begin`, as plain values."""
    global _current, _sink
    record, _current, _sink = _current, None, None
    if record is None:
        return {}
    return {
        "contacts": record.peers(),
        "exchanges": list(record.exchanges),
        "frames": list(record.frames),
        "mocked": list(record.mocked),
        "blind": list(record.blind),
    }


def blind(error: Exception) -> None:
    """One of our observers failed: the test must not notice, but whoever reads its evidence must know of the gap."""
    record = _current
    if record is not None and len(record.blind) < _BLIND:
        record.blind[f"{type(error).__name__}: {clean(str(error))[:200]}"] = None


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
    if record is None:
        return
    now = wall()
    entry = record.contacts.get((host, port))
    if entry is None:
        record.contacts[(host, port)] = [sent, received, now, now]
        return
    entry[0] += sent
    entry[1] += received
    entry[3] = now


def exchange(method: str, url: str) -> Message:
    """An HTTP request starts; `answered` or `failed` completes what is returned."""
    entry: Message = {"method": method, "url": clean(url), "status": None, "at": wall(), "duration": 0.0, "error": None}
    record = _current
    if record is not None and len(record.exchanges) < _LIMIT:
        record.exchanges.append(entry)
        entry["number"] = len(record.exchanges) - 1
        _changed(entry)
    return entry


def answered(entry: Message, status: int) -> None:
    """The answer's head arrived."""
    entry["status"] = int(status)
    entry["duration"] = wall() - entry["at"]
    _changed(entry)


def failed(entry: Message, error: BaseException) -> None:
    """No answer came."""
    entry["error"] = clean(f"{type(error).__name__}: {error}")[:500]
    entry["duration"] = wall() - entry["at"]
    _changed(entry)


def body(entry: Message, content: bytes) -> None:
    """The body of an answer; kept only of a short error."""
    status = entry.get("status")
    if status is not None and status >= 400 and content and len(content) <= _BODY and "body" not in entry:
        entry["body"] = clean(content.decode("utf-8", "replace"))
        _changed(entry)


def frame(url: str, kind: str, direction: str, **more: Any) -> None:
    """One event in the life of a WebSocket."""
    record = _current
    if record is not None and len(record.frames) < _LIMIT:
        record.frames.append(dict(more, url=clean(url), kind=kind, direction=direction, at=wall()))
        _tell(record)


def _changed(entry: Message) -> None:
    record, number = _current, entry.get("number")
    if record is None or number is None or number >= len(record.exchanges):
        return
    if record.exchanges[number] is entry:  # else it was begun by an earlier test
        record.untold[number] = entry
        _tell(record)


def _tell(record: Record) -> None:
    """Offers the news to the orchestrator, which keeps them in case this process is killed. Never fails the test."""
    sink = _sink
    if sink is None:
        return
    now = monotonic()
    if record.messages >= _AT_ONCE and now - record.told_at < _PAUSE_S:
        return
    try:
        sink(record.news)
    except (OSError, TypeError, ValueError, RuntimeError):
        return  # the orchestrator is gone, or another thread changed what is being told; the test's end tells it all
    record.messages += 1
    record.told_at = now


def mock_entered(name: str) -> None:
    """Something of a network client was replaced."""
    _active_mocks[name] = _active_mocks.get(name, 0) + 1
    if _current is not None:
        _current.mocked[name] = None


def mock_left(name: str) -> None:
    """And put back."""
    left = _active_mocks.get(name, 0) - 1
    if left > 0:
        _active_mocks[name] = left
    else:
        _active_mocks.pop(name, None)
