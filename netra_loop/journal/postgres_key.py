"""The advisory lock of a session in PostgreSQL: its number, and the question who holds it."""

from __future__ import annotations

import hashlib

HELD = (
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND ((classid::bigint << 32) | objid::bigint) = ?"
)


def lock_key(schema: str, session: str, generation: int) -> int:
    """The number that is locked: 64 bits, of which two sessions have the same in no lifetime."""
    told = f"netra-loop\0{schema}\0{session}\0{generation}".encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "big", signed=True)
