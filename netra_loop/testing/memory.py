"""`MemoryJournal`: the journal without a database."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from netra_loop.clock import Clock, SystemClock
from netra_loop.core.events import Recorded
from netra_loop.core.records import AttemptStarted, Authenticity, Batch, Finding, LogEntry, Result, Selected, Sighting
from netra_loop.errors import Defect, SessionHeld, StaleEpoch, StoreError
from netra_loop.journal import chain, codec, entry_rows, verifying
from netra_loop.journal.base import (
    Counted,
    Holder,
    Mark,
    News,
    SessionHead,
    Standing,
    StoreIdentity,
    Verified,
    check_id,
    choose,
)
from netra_loop.journal.codec import Row


@dataclass
class _Session:
    head: Row
    loop: str
    epoch: int
    events: list[Row] = field(default_factory=list)
    selection: dict[tuple[int, str], Row] = field(default_factory=dict)
    attempts: dict[tuple[int, str, int], Row] = field(default_factory=dict)
    results: dict[tuple[int, str, int], Row] = field(default_factory=dict)
    entries: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    findings: dict[tuple[int, str], Row] = field(default_factory=dict)


class MemoryJournal:
    """`Journal` in memory: the same rows, the same chain, the same refusals. The object stands for the disk: hand it to
    a second owner to resume what a first one left."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._sessions: dict[str, _Session] = {}
        self._owners: dict[str, tuple[int, Holder]] = {}
        self._durations: dict[str, dict[str, float]] = {}
        self._asked: dict[str, asyncio.Event] = {}
        self._identity = StoreIdentity(secrets.token_hex(16), "memory")

    async def create(self, head: SessionHead, first: Batch) -> tuple[Recorded, ...]:
        """See `Journal.create`."""
        check_id(head.id)
        if head.id in self._sessions:
            raise StoreError(f"session {head.id!r} exists already", hint=f"netra-loop resume {head.id}")
        epoch = self._owners[head.id][0] if head.id in self._owners else 0
        made = _Session(codec.head_to_row(head), head.loop, epoch)
        recorded = self._commit(head.id, made, first)
        self._sessions[head.id] = made
        return recorded

    async def append(self, session: str, batch: Batch, head: SessionHead | None = None) -> tuple[Recorded, ...]:
        """See `Journal.append`."""
        if head is not None and head.id != session:
            raise Defect(f"the head of session {head.id!r} was given for {session!r}")
        if session not in self._owners:
            raise Defect(f"an append to session {session!r} by a process that does not own it")
        stored = self._session(session)
        if stored.epoch != self._owners[session][0]:
            raise StaleEpoch(session, self._owners[session][0], stored.epoch)
        recorded = self._commit(session, stored, batch)
        if head is not None:
            stored.head = codec.head_to_row(head)
        return recorded

    def _commit(self, session: str, stored: _Session, batch: Batch) -> tuple[Recorded, ...]:
        """All rows are made, and may be refused, before the first is kept."""
        before = stored.events[-1]["hash"] if stored.events else chain.GENESIS
        events = chain.rows_for(session, len(stored.events), before, self._clock.now(), batch.events)
        recorded = tuple(chain.recorded(session, row) for row in events)
        chosen = chain.iteration_of(batch, batch.selected_iteration) if batch.selected is not None else None
        found = chain.iteration_of(batch, batch.findings_iteration) if batch.findings is not None else None
        selection = [codec.selected_to_row(session, chosen or 0, item) for item in batch.selected or ()]
        attempts = [codec.attempt_to_row(session, item) for item in batch.started]
        results = [codec.result_to_row(session, item) for item in batch.results]
        entries = [entry_rows.entry_to_row(session, item) for item in batch.entries]
        findings = [
            codec.finding_to_row(session, found or 0, place, item) for place, item in enumerate(batch.findings or ())
        ]
        stored.events += events
        stored.selection = {key: row for key, row in stored.selection.items() if key[0] != chosen}
        stored.findings = {key: row for key, row in stored.findings.items() if key[0] != found}
        stored.selection |= {(row["iteration"], row["id"]): row for row in selection}
        stored.attempts |= {(row["iteration"], row["id"], row["attempt"]): row for row in attempts}
        stored.results |= {(row["iteration"], row["id"], row["attempt"]): row for row in results}
        stored.findings |= {(row["iteration"], row["id"]): row for row in findings}
        timed = {row["id"]: row["duration_s"] for row in codec.duration_rows(batch)}
        self._durations.setdefault(stored.loop, {}).update(timed)
        for row in entries:
            key = entry_rows.entry_key(row)
            stored.entries[key] = entry_rows.joined(stored.entries[key], row) if key in stored.entries else row
        self._change(stored, batch)
        return recorded

    @staticmethod
    def _change(stored: _Session, batch: Batch) -> None:
        """What is stored already and was judged or joined."""
        for item in batch.judged:
            place = (item.iteration, codec.clean(item.id), item.attempt)
            if place in stored.results:
                stored.results[place] |= codec.judged_to_row(item)
        for entry in batch.joined:
            row = entry_rows.joined_to_row(entry)
            known = stored.entries.get(entry_rows.entry_key(row))
            if known is not None:
                known["tests"] = entry_rows.tests_of_both(known, row)

    def own(self, session: str, *, takeover: bool = False) -> AbstractAsyncContextManager[int]:
        """See `Journal.own`. Who takes a session over is from then on the only owner that this object knows."""
        return self._own(session, takeover)

    @asynccontextmanager
    async def _own(self, session: str, takeover: bool) -> AsyncIterator[int]:
        if session in self._owners and not takeover:
            raise SessionHeld(session, str(self._owners[session][1]))
        stored = self._sessions.get(session)
        if stored is not None:
            stored.epoch += 1
        epoch = stored.epoch if stored is not None else 1
        self._owners[session] = ours = (epoch, Holder(os.getpid(), socket.gethostname(), self._clock.now()))
        self._asked[session] = asyncio.Event()
        try:
            yield epoch
        finally:
            if self._owners.get(session) == ours:
                del self._owners[session], self._asked[session]

    def take_over(self, session: str) -> None:
        """What another process's take-over does: its owner here gets StaleEpoch from now on."""
        self._session(session).epoch += 1

    async def holder(self, session: str) -> Holder | None:
        """See `Journal.holder`."""
        return self._owners[session][1] if session in self._owners else None

    async def ask_to_stop(self, session: str) -> bool:
        """See `Journal.ask_to_stop`."""
        if session in self._asked:
            self._asked[session].set()
        return session in self._asked

    async def asked_to_stop(self, session: str) -> None:
        """See `Journal.asked_to_stop`."""
        await self._asked[session].wait()

    async def events(self, session: str, after: int = 0) -> list[Recorded]:
        """See `Journal.events`."""
        return [chain.recorded(session, row) for row in self._session(session).events[after:]]

    async def verify(self, session: str) -> int:
        """See `Journal.verify`."""
        rows = self._session(session).events
        last_hash = rows[-1]["hash"] if rows else chain.GENESIS
        chain.verified(session, rows, after=0, before=chain.GENESIS, last_seq=len(rows), last_hash=last_hash)
        return len(rows)

    async def verify_all(self, session: str, told: Callable[[int, int], None] = lambda _done, _of: None) -> Verified:
        """See `Journal.verify_all`."""
        events = await self.verify(session)
        told(events, events)  # the rest takes no time
        number = 0
        for table in verifying.BESIDE:
            for row in self._rows(session, table):
                verifying.check(session, table, row)
                number += 1
        return Verified(events, self._session(session).events[-1]["hash"] if events else chain.GENESIS, number)

    async def verify_form(self) -> None:
        """See `Journal.verify_form`."""

    async def sessions(self) -> list[SessionHead]:
        """See `Journal.sessions`."""
        return [codec.head_from_row(stored.head) for stored in reversed(self._sessions.values())]

    async def head(self, session: str) -> SessionHead | None:
        """See `Journal.head`."""
        return codec.head_from_row(self._sessions[session].head) if session in self._sessions else None

    async def identity(self) -> StoreIdentity:
        """See `Journal.identity`."""
        return self._identity

    async def find(self, name: str) -> SessionHead:
        """See `Journal.find`."""
        return choose(name, await self.sessions())

    async def selection(self, session: str, iteration: int, *, tests: Sequence[str] | None = None) -> list[Selected]:
        """See `Journal.selection`."""
        known = None if tests is None else {codec.clean(test) for test in tests}
        rows = [
            row
            for row in self._rows(session, "selection")
            if row["iteration"] == iteration and (known is None or row["id"] in known)
        ]
        return [codec.selected_from_row(row) for row in sorted(rows, key=lambda row: (row["position"], row["id"]))]

    async def attempts(self, session: str, iteration: int) -> list[AttemptStarted]:
        """See `Journal.attempts`."""
        rows = [row for row in self._rows(session, "attempts") if row["iteration"] == iteration]
        rows.sort(key=lambda row: (row["started_at"], row["attempt"], row["id"]))
        return [codec.attempt_from_row(row) for row in rows]

    async def results(
        self,
        session: str,
        iteration: int | None = None,
        *,
        test: str | Sequence[str] | None = None,
        bodies: bool = True,
    ) -> list[Result]:
        """See `Journal.results`."""
        tests = None if test is None else {codec.clean(one) for one in ([test] if isinstance(test, str) else test)}
        stored = self._sessions.get(session)
        places = {key: row["position"] for key, row in stored.selection.items()} if stored else {}

        def order(row: Row) -> tuple[int, bool, int, str, int, str]:
            place = places.get((row["iteration"], row["id"]))
            start = row["started_at"] if place is None else ""
            return (row["iteration"], place is None, place or 0, start, row["attempt"], row["id"])

        rows = [
            row if bodies else row | {"body": None}
            for row in self._rows(session, "results")
            if iteration in {None, row["iteration"]} and (tests is None or row["id"] in tests)
        ]
        return [codec.result_from_row(row) for row in sorted(rows, key=order)]

    async def result_pages(self, session: str, iteration: int, size: int = 500) -> AsyncIterator[list[Result]]:
        """See `Journal.result_pages`; of `size` results each."""
        found = await self.results(session, iteration, bodies=False)
        for begin in range(0, len(found), size):
            yield found[begin : begin + size]

    async def counted(self, session: str, iteration: int) -> Counted:
        """See `Journal.counted`."""
        found = await self.results(session, iteration, bodies=False)
        retried = {one.id for one in found if one.attempt > 1}
        once = Counter((one.outcome, one.flaky, one.authenticity) for one in found if one.id not in retried)
        return Counted(once, [one for one in found if one.id in retried])

    async def standing(
        self, session: str, iteration: int, until: Mark, newest: int, *, since: datetime | None = None
    ) -> Standing:
        """See `Journal.standing`."""
        rows = self._rows(session, "results")[: until.results]
        found = [codec.result_from_row(row | {"body": None}) for row in rows if row["iteration"] == iteration]
        last: dict[str, Result] = {}
        for one in found:
            if (since is None or one.started_at >= since) and (
                one.id not in last or one.attempt > last[one.id].attempt
            ):
                last[one.id] = one
        failed = [
            one
            for one in found
            if last.get(one.id) is one and (one.outcome.is_failure or one.authenticity is Authenticity.FAKE)
        ]
        entries = self._rows(session, "entries")[: until.entries]
        return Standing(
            Counter((one.outcome, one.flaky, one.authenticity) for one in last.values()),
            failed[len(failed) - min(newest, len(failed)) :],
            sum(row["iteration"] == iteration for row in entries),
        )

    async def under_way(
        self, session: str, iteration: int, until: Mark, *, since: datetime | None = None
    ) -> list[AttemptStarted]:
        """See `Journal.under_way`."""
        ended: dict[str, int] = {}
        for row in self._rows(session, "results")[: until.results]:
            if row["iteration"] == iteration:
                ended[row["id"]] = max(row["attempt"], ended.get(row["id"], 0))
        rows = [
            row
            for row in self._rows(session, "attempts")[: until.attempts]
            if row["iteration"] == iteration and row["attempt"] > ended.get(row["id"], 0)
        ]
        begun = map(
            codec.attempt_from_row, sorted(rows, key=lambda row: (row["started_at"], row["attempt"], row["id"]))
        )
        return [one for one in begun if since is None or one.started_at >= since]

    async def named(self, session: str, iteration: int, part: str) -> list[str]:
        """See `Journal.named`."""
        tables = ("selection", "attempts", "results")
        rows = (row for table in tables for row in self._rows(session, table))
        return list({row["id"] for row in rows if row["iteration"] == iteration and codec.clean(part) in row["id"]})

    async def count(self, session: str, iteration: int) -> int:
        """See `Journal.count`."""
        rows = (*self._rows(session, "results"), *self._rows(session, "entries"))
        return sum(row["iteration"] == iteration for row in rows)

    async def entries(self, session: str, iteration: int | None = None, *, limit: int | None = None) -> list[LogEntry]:
        """See `Journal.entries`."""
        rows = [row for row in self._rows(session, "entries") if iteration in {None, row["iteration"]}]
        rows.sort(key=lambda row: (row["timestamp"], row["log"], row["insert_id"]))
        return [
            entry_rows.entry_from_row(row)
            for row in (rows if limit is None else rows[len(rows) - min(limit, len(rows)) :])
        ]

    async def entry_pages(
        self,
        session: str,
        iteration: int,
        size: int = 500,
        *,
        since: datetime | None = None,
        lean: bool = False,  # noqa: ARG002  # here all is at hand
        quiet: bool = True,
    ) -> AsyncIterator[list[LogEntry]]:
        """See `Journal.entry_pages`."""
        found = [one for one in await self.entries(session, iteration) if since is None or one.timestamp >= since]
        found = [one for one in found if quiet or not entry_rows.is_quiet(one)]
        for begin in range(0, len(found), size):
            yield found[begin : begin + size]

    async def findings(self, session: str, iteration: int | None = None) -> list[Finding]:
        """See `Journal.findings`."""
        kept = self._rows(session, "findings")
        wanted = iteration if iteration is not None else max((row["iteration"] for row in kept), default=0)
        rows = sorted((r for r in kept if r["iteration"] == wanted), key=lambda row: (row["position"], row["id"]))
        return [codec.finding_from_row(row) for row in rows]

    async def sightings(self, loop: str, signatures: Sequence[str]) -> list[Sighting]:
        """See `Journal.sightings`."""
        found = []
        for session, stored in self._sessions.items():
            for named in sorted(set(map(codec.clean, signatures))) if stored.loop == loop else ():
                rows = [row for row in stored.findings.values() if row["signature"] == named]
                opened = [row["iteration"] for row in rows if row["state"] != "fixed"]
                fixed = [row["iteration"] for row in rows if row["state"] == "fixed"]
                if rows:
                    first, last = min(opened, default=None), max(opened, default=None)
                    at = stored.head["started_at"]
                    values = (named, session, at, first, last, max(fixed, default=None))
                    found.append(codec.sighting_from_values(values))
        return found

    async def durations(self, loop: str) -> dict[str, float]:
        """See `Journal.durations`."""
        return dict(self._durations.get(loop, {}))

    async def mark(self, session: str) -> Mark:
        """See `Journal.mark`."""
        stored = self._session(session)
        return Mark(len(stored.events), len(stored.attempts), len(stored.results), len(stored.entries))

    async def news(self, session: str, since: Mark) -> News:
        """See `Journal.news`; all of it at one time."""
        stored = self._session(session)
        return News(
            await self.mark(session),
            await self.events(session, since.events),
            [codec.attempt_from_row(row) for row in list(stored.attempts.values())[since.attempts :]],
            [codec.result_from_row(row | {"body": None}) for row in list(stored.results.values())[since.results :]],
            [entry_rows.entry_from_row(row) for row in list(stored.entries.values())[since.entries :]],
        )

    async def forget(self, session: str) -> None:
        """See `Journal.forget`."""
        if session not in self._owners:
            raise Defect(f"session {session!r} was to be removed by a process that does not own it")
        stored = self._session(session)
        if stored.epoch != self._owners[session][0]:
            raise StaleEpoch(session, self._owners[session][0], stored.epoch)
        del self._sessions[session]

    async def reclaim(self) -> int:
        """See `Journal.reclaim`."""
        return 0

    async def snapshot(self, within_s: float, *, due: bool = False) -> str | None:  # noqa: ARG002  # nothing to copy
        """See `Journal.snapshot`."""
        return None

    def hurry(self, within_s: float) -> None:
        """See `Journal.hurry`: it is never away."""

    async def close(self) -> None:
        """See `Journal.close`; what is remembered stays as long as the object."""

    def _session(self, session: str) -> _Session:
        if session not in self._sessions:
            raise StoreError(f"session {session!r} is not in the store", hint="netra-loop list")
        return self._sessions[session]

    def _rows(self, session: str, table: str) -> list[Row]:
        stored = self._sessions.get(session)
        return list(getattr(stored, table).values()) if stored is not None else []
