"""Events to rows and back, chained: each row's hash covers the row and the hash before it.

A flipped byte, a row taken out, put in or changed breaks the chain at that place; a chain cut short at its end shows
against the last number and hash, which are kept with the session's head (and by its owner outside the database).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from netra_loop.core.events import Event, Recorded, from_row
from netra_loop.core.records import Batch
from netra_loop.errors import Defect, StoreDamaged, StoreError
from netra_loop.journal.codec import Row, canonical, optional, read_at, write_at

GENESIS = "0" * 64  # the hash before a session's first event
_HASHED = ("seq", "at", "iteration", "phase", "attempt", "event", "outcome", "detail")


def link(before: str, session: str, row: Mapping[str, Any]) -> str:
    """The hash of an event row (as stored, `detail` being text) that follows the one whose hash is `before`."""
    return hashlib.sha256(canonical([before, session, *(row[key] for key in _HASHED)]).encode()).hexdigest()


def rows_for(session: str, seq: int, before: str, at: datetime, events: Iterable[Event]) -> list[Row]:
    """Rows for `events`, which come after number `seq` whose hash is `before`; all are committed `at` once."""
    rows: list[Row] = []
    for event in events:
        row = Recorded(seq + len(rows) + 1, at, event).row()
        row |= {"session": session, "at": write_at(at), "detail": canonical(row["detail"])}
        row |= {"phase": optional(row["phase"]), "outcome": optional(row["outcome"])}
        row["hash"] = before = link(before, session, row)
        rows.append(row)
    return rows


def recorded(session: str, row: Mapping[str, Any]) -> Recorded:
    """The event of a row whose hash is known to be right. StoreError where only a newer version understands it."""
    try:
        event = from_row({**row, "detail": json.loads(row["detail"])})
    except ValueError as error:
        raise StoreError(
            f"event {row['seq']} of session {session!r} was written by a newer netra-loop: {error}",
            hint="use the newer version",
        ) from error
    return Recorded(row["seq"], read_at(row["at"]), event)


def verified(
    session: str, rows: Iterable[Mapping[str, Any]], *, after: int, before: str, last_seq: int, last_hash: str
) -> None:
    """Checks that `rows` follow number `after` (whose hash is `before`) without a gap and end where the head says.

    StoreDamaged names the session and the first number at which it is not so.
    """
    seq = after
    for row in rows:
        seq += 1
        if row["seq"] != seq:
            raise damaged(session, seq, f"is missing: the next one stored is {row['seq']}")
        if link(before, session, row) != row["hash"]:
            raise damaged(session, seq, "is not what was written: its hash does not fit")
        before = row["hash"]
    if seq < last_seq:
        raise damaged(session, seq + 1, f"is missing: {last_seq} were written")
    if seq > after and (seq > last_seq or before != last_hash):
        raise damaged(session, seq, "is not the last one that was written")


def damaged(session: str, seq: int, what: str) -> StoreDamaged:
    """The error of a broken chain."""
    return StoreDamaged(
        f"event {seq} of session {session!r} {what}; the store is left untouched",
        hint="keep a copy of the store, put a backup in its place, or move it away and start anew: netra-loop run LOOP",
    )


def iteration_of(batch: Batch, explicit: int) -> int:
    """The iteration of a batch's selections or findings: `explicit`, else its first event's. Defect: neither says."""
    iteration = explicit or (int(batch.events[0].iteration) if batch.events else 0)
    if iteration < 1:
        raise Defect("a batch with selections or findings names no iteration, expected one from 1 on")
    return iteration
