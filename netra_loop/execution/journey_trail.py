"""What a journey leaves behind: contacts, exchanges and frames, collected while it walks, within bounded memory."""

from __future__ import annotations

import json
from collections import deque
from datetime import datetime
from typing import Any

from netra_loop.agent.cuts import cut
from netra_loop.clock import Clock
from netra_loop.core.records import Contact, Evidence, Exchange, Frame
from netra_loop.values import dataclass

FRAMES_HEAD = 500
FRAMES_TAIL = 500
TEXT_MAX = 2048


def clip(text: str, limit: int = TEXT_MAX) -> str:
    """`text`, at most `limit` characters long, and in whole words; what was cut is told in its last ones."""
    if len(text) <= limit:
        return text
    mark = f" ({len(text)} characters)"
    return cut(text, max(0, limit - len(mark))) + mark


def clip_bytes(text: str, limit: int = TEXT_MAX) -> str:
    """`text`, at most `limit` bytes of UTF-8, in whole words."""
    if len(text) * 4 <= limit:
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return cut(text, len(encoded[: limit - 2].decode("utf-8", "ignore")))  # the mark of the cut takes three bytes


def parse(text: str) -> Any:
    """The JSON value in `text`, None where it is none (or nested deeper than can be read)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def event_of(value: Any) -> str | None:
    """The event a frame's JSON value names: its `type`."""
    name = value.get("type") if isinstance(value, dict) else None
    return clip(name, 100) if isinstance(name, str) else None


@dataclass
class _Tally:
    first_at: datetime
    last_at: datetime
    sent: int = 0
    received: int = 0


class Trail:
    """Collects evidence in the order of time. Of many frames the first and the last are kept, 1000 in all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._head: list[Frame] = []
        self._tail: deque[Frame] = deque(maxlen=FRAMES_TAIL)
        self._exchanges: list[Exchange] = []
        self._tallies: dict[tuple[str, int], _Tally] = {}

    def frame(self, frame: Frame) -> None:
        """Notes one event in a WebSocket's life."""
        if len(self._head) < FRAMES_HEAD:
            self._head.append(frame)
        else:
            self._tail.append(frame)

    def message(self, url: str, direction: str, data: str | bytes, value: Any = None) -> None:
        """Notes a message that was `sent` or `received` just now. `value` is its JSON value where it was parsed."""
        if isinstance(data, bytes):
            self.frame(Frame(url=url, kind="binary", direction=direction, at=self._clock.now(), size=len(data)))
            return
        self.frame(
            Frame(
                url=url,
                kind="text",
                direction=direction,
                at=self._clock.now(),
                size=len(data.encode("utf-8", "replace")),
                event=event_of(value),
                text=clip_bytes(data),
            ),
        )

    def exchange(self, exchange: Exchange) -> None:
        """Notes one HTTP request and its answer, or the lack of one."""
        self._exchanges.append(exchange)

    def talked(self, host: str, port: int, *, sent: int = 0, received: int = 0) -> None:
        """Adds bytes that went to or came from a peer just now."""
        now = self._clock.now()
        tally = self._tallies.setdefault((host, port), _Tally(now, now))
        tally.last_at = now
        tally.sent += sent
        tally.received += received

    def evidence(self) -> Evidence:
        """Everything so far."""
        contacts = (
            Contact(host, port, tally.sent, tally.received, tally.first_at, tally.last_at)
            for (host, port), tally in self._tallies.items()
        )
        return Evidence(contacts=tuple(contacts), exchanges=tuple(self._exchanges), frames=(*self._head, *self._tail))
