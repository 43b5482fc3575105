"""What the running test did to the network, kept for it alone: one test at a time runs in a worker."""

from __future__ import annotations

from typing import Any

from .wire import Message, clean, wall

_LIMIT = 2000  # exchanges, and frames, kept of one test; what comes after is only counted
_BODY = 2000


class Record:
    """The evidence of one test while it runs."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        self.spans = 0
        self.contacts: dict[tuple[str, int], list[float]] = {}
        self.exchanges: list[Message] = []
        self.frames: list[Message] = []
        self.mocked: dict[str, None] = {}


_current: Record | None = None
_active_mocks: dict[str, int] = {}


def install() -> None:
    """Puts the observers in place; those of libraries that are not imported yet, when they are."""
    from . import contacts, exchanges, frames, mocks
    from .imports import when_imported

    contacts.install()
    when_imported("ssl", contacts.install_tls)
    when_imported("http.client", exchanges.install_http_client)
    when_imported("httpx", exchanges.install_httpx)
    when_imported("aiohttp", exchanges.install_aiohttp)
    when_imported("websockets.protocol", frames.install_websockets)
    when_imported("websockets.client", frames.install_websockets_client)
    when_imported("unittest.mock", mocks.install_unittest)
    when_imported("_pytest.monkeypatch", mocks.install_monkeypatch)


def begin(trace: str) -> None:
    """From here on everything belongs to the test with this trace id."""
    global _current
    record = Record(trace)
    record.mocked.update(dict.fromkeys(_active_mocks))
    _current = record


def end() -> Message:
    """What was seen since `begin`, as plain values."""
    global _current
    record, _current = _current, None
    if record is None:
        return {}
    return {
        "contacts": [[host, port, *numbers] for (host, port), numbers in list(record.contacts.items())],
        "exchanges": list(record.exchanges),
        "frames": list(record.frames),
        "mocked": list(record.mocked),
    }


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
    return entry


def answered(entry: Message, status: int) -> None:
    """The answer's head arrived."""
    entry["status"] = int(status)
    entry["duration"] = wall() - entry["at"]


def failed(entry: Message, error: BaseException) -> None:
    """No answer came."""
    entry["error"] = clean(f"{type(error).__name__}: {error}")[:500]
    entry["duration"] = wall() - entry["at"]


def body(entry: Message, content: bytes) -> None:
    """The body of an answer; kept only of a short error."""
    status = entry.get("status")
    if status is not None and status >= 400 and content and len(content) <= _BODY and "body" not in entry:
        entry["body"] = clean(content.decode("utf-8", "replace"))


def frame(url: str, kind: str, direction: str, **more: Any) -> None:
    """One event in the life of a WebSocket."""
    record = _current
    if record is not None and len(record.frames) < _LIMIT:
        record.frames.append(dict(more, url=clean(url), kind=kind, direction=direction, at=wall()))


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
