"""Turns what a tests' process said about a test into `Finished`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from netra_loop.agent import forks, record
from netra_loop.agent.page import read
from netra_loop.agent.wire import clean
from netra_loop.core.records import (
    BETWEEN_S,
    Child,
    CollectedTest,
    Contact,
    Evidence,
    Exchange,
    Frame,
    Outcome,
    Sources,
)
from netra_loop.execution.base import Collection, Finished, Planned
from netra_loop.execution.pool_wire import Message

_FORKED = 1 << 20  # bytes of what forks wrote that are read here, between one message and the next


def collected(row: Message) -> CollectedTest:
    """One collected test. What thousands of tests have in common is kept once."""
    return CollectedTest(
        sys.intern(row["id"]),
        sys.intern(row["path"]),
        row["line"],
        _once(tuple(row["markers"])),
        tuple(map(sys.intern, row["keywords"])),  # the test's own name is among them
        row["source"],
        _once(tuple(row["shares"])),
    )


@lru_cache(maxsize=1024)
def _once(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(sys.intern, words))


def instant(seconds: float) -> datetime:
    """Seconds since 1970 as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def evidence(said: Message | None) -> Evidence:
    """What the test did to the network."""
    if not said:
        return Evidence()
    return Evidence(
        contacts=tuple(_contact(*row) for row in said["contacts"]),
        exchanges=tuple(_exchange(row) for row in said["exchanges"]),
        frames=tuple(_frame(row) for row in said["frames"]),
        mocked=tuple(said["mocked"]),
        children=tuple(Child(name, instant(at), how == "shared", how == "apart") for name, at, how in said["children"]),
    )


class Seen:
    """What a running test was seen to do so far, kept here for the case that its process does not live to tell it.

    `forked` is the file its forks write to, `began` when the test did, in seconds since 1970, `trace` the test's own.
    `page` is the file of what it told without a message (`agent.page`), `key` its assignment's.
    """

    def __init__(
        self,
        forked: str | None = None,
        began: float = 0.0,
        trace: str = "",
        page: str | None = None,
        key: int = 0,
    ) -> None:
        self._forked = forked
        self._page = page
        self._key = key
        self._began = began
        self._trace = trace
        self._exchanges: dict[int, Message] = {}
        self._frames: dict[int, Message] = {}
        self._standing: Message = {"contacts": [], "mocked": [], "children": [], "blind": [], "left_out": [0, 0]}
        self._said: Message | None = None

    def take(self, news: Message) -> None:
        """Adds one piece. Exchanges and frames come with their numbers: what came before is replaced."""
        self._exchanges.update((number, row) for number, row in news["exchanges"])
        self._frames.update((number, row) for number, row in news["frames"])
        record.thin(self._exchanges, record.exchange_matters)
        record.thin(self._frames, record.frame_matters)
        self._standing = {name: news.get(name, known) for name, known in self._standing.items()}
        self._said = None

    def read_page(self) -> Message | None:
        """Adds what is in the page, once, before the messages that came after it; what the test's call came to, where
        the page says that.
        """
        page, self._page = self._page, None
        if page is None:
            return None
        before, called = Seen(), None
        try:
            for message in read(page):
                if message["key"] == self._key and message["seen"] is not None:
                    before.take(message["seen"])
                if message["key"] == self._key and message["is"] == "called":
                    called = message
            before.evidence()
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:  # a test that writes into any memory it likes
            before = Seen()
            before._standing["blind"] = [f"what it told is no longer readable: {type(error).__name__}"]
        self._exchanges = {**before._exchanges, **self._exchanges}
        self._frames = {**before._frames, **self._frames}
        self._standing = {name: rows if any(rows) else before._standing[name] for name, rows in self._standing.items()}
        self._said = None
        return called

    def evidence(self) -> Evidence:
        """All of it, in the order of time."""
        return evidence(self._whole())

    def gaps(self) -> str:
        """What our observers failed at, as far as it was told."""
        return _gaps(self._whole())

    def _whole(self) -> Message:
        if self._said is None:
            self._said = self._gathered()
        return self._said

    def _gathered(self) -> Message:
        exchanges = [self._exchanges[number] for number in sorted(self._exchanges)]
        said: Message = {
            "exchanges": [exchange for exchange in exchanges if not exchange.get("unreal")],
            "frames": [self._frames[number] for number in sorted(self._frames)],
            **{name: list(rows) for name, rows in self._standing.items()},
        }
        if self._forked is not None:
            forks.merge(said, self._forked, self._began, self._trace, _FORKED)
        return said


def _duration_s(said: Message) -> float:
    """What pytest's phases took together. Where more than a little passed between them, on a busy machine or in a
    plugin, that is the test's time too: it ended then, and the server's log is looked at until then.
    """
    phases_s, elapsed_s = float(said["duration"]), float(said.get("elapsed", 0.0))
    return elapsed_s if elapsed_s - phases_s > BETWEEN_S else phases_s


def finished(
    planned: Planned,
    worker: str,
    started_at: datetime,
    said: Message,
    seen: Seen | None = None,
    sources: Sources | None = None,
) -> Finished:
    """A test that came to its end inside its process; `stopped` marks one that took the session along.

    `seen` stands in where the process did not say what the test did to the network.
    """
    stopped, timed = said.get("stopped"), said.get("timed") or {}
    return Finished(
        planned.id,
        planned.attempt,
        worker,
        started_at,
        _duration_s(said),
        Outcome.CRASHED if stopped else Outcome(said["outcome"]),
        planned.trace_id,
        message=stopped or said["message"],
        traceback=said["traceback"],
        output=said["output"] + (_gaps(said.get("evidence")) if seen is None else seen.gaps()),
        evidence=evidence(said.get("evidence")) if seen is None else seen.evidence(),
        sources=sources,
        reran=int(said["reran"]),
        wider_s=float(timed.get("total", 0.0)),
        fixtures=dict(timed.get("fixtures", {})),
    )


def _gaps(said: Message | None) -> str:
    """What our observers failed at while the test ran: its evidence may lack something."""
    said = said or {}
    told = [f"evidence may be lacking, an observer failed: {failure}" for failure in said.get("blind") or ()]
    left_out = zip(said.get("left_out") or (), ("exchanges", "frames"), strict=False)
    counts = [f"{count} {name}" for count, name in left_out if count]
    if counts:
        told.append(
            f"not all evidence is kept: {' and '.join(counts)} after the first {record.EACH} and before the last were"
            " left out; failures, opens and closes are kept"
        )
    return "".join(f"\nnetra-loop: {line}" for line in told)


def missing(planned: Planned, collection: Collection, at: datetime) -> Finished:
    """A test that was selected once, and that pytest no longer collects: why, as far as it said, and what to do."""
    file = planned.id.partition("::")[0]
    error = next((error for error in collection.errors if file == error.id.partition("::")[0]), None)
    if collection.fatal is not None:
        message, why = f"cannot run {planned.id}: nothing could be collected", collection.fatal
    elif error is not None:
        message, why = f"cannot run {planned.id}: {error.id} could not be collected", error.text
    else:
        message, why = f"{planned.id} was selected, but pytest does not collect it any more", ""
    advice = "mend the collection" if why else "put the test back"
    told = f"{message}; {advice}, or let the next iteration select anew"
    return Finished(
        planned.id,
        planned.attempt,
        "",
        at,
        0.0,
        Outcome.ERROR,
        planned.trace_id,
        told,
        why,
    )


def _contact(
    host: str, port: int, sent: int, received: int, first: float, last: float, thread: str | None = None
) -> Contact:
    return Contact(host, port, sent, received, instant(first), instant(last), thread)


def _exchange(row: dict[str, Any]) -> Exchange:
    return Exchange(
        clean(row["method"]),
        clean(row["url"]),
        row["status"],
        instant(row["at"]),
        row["duration"],
        _cleaned(row["error"]),
        _cleaned(row.get("body")),
        apart=bool(row.get("apart")),
    )


def _frame(row: dict[str, Any]) -> Frame:
    return Frame(
        clean(row["url"]),
        row["kind"],
        row["direction"],
        instant(row["at"]),
        size=row.get("size", 0),
        event=_cleaned(row.get("event")),
        code=row.get("code"),
        reason=_cleaned(row.get("reason")),
        text=_cleaned(row.get("text")),
    )


def _cleaned(text: str | None) -> str | None:
    return None if text is None else clean(text)
