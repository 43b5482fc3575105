"""The journal's tables, for every database alike. Types are the plainest that keep what `codec` writes.

`SCHEMA` goes up by one with each change here, with a revision in `migrations` that makes an older store alike; a store
of a newer schema is refused. Columns that are read rarely and
are large stand last, so that counting an iteration does not touch them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Float, Index, Integer, LargeBinary, MetaData, Select, Table, Text
from sqlalchemy.exc import OperationalError

SCHEMA = 3
APPLICATION_ID = 0x6E4C6F70  # "nLop", SQLite's own mark of whose file it is

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),  # order of making, whatever the clocks said
    Column("loop", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("iteration", Integer, nullable=False),
    Column("phase", Text),
    Column("started_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("exit_code", Integer),
    Column("epoch", Integer, nullable=False),  # rises with each owner
    Column("last_seq", Integer, nullable=False),  # where the chain of events ends
    Column("last_hash", Text, nullable=False),
    Column("owner", Text),  # the last owner's own name for itself, random: what the epoch alone does not tell apart
)

events = Table(
    "events",
    metadata,
    Column("session", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("iteration", Integer, nullable=False),
    Column("phase", Text),
    Column("attempt", Integer, nullable=False),
    Column("event", Text, nullable=False),
    Column("outcome", Text),
    Column("hash", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

selection = Table(
    "selection",
    metadata,
    Column("session", Text, primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    Column("tier", Text),
    Column("position", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("path", Text),
    Column("line", Integer),
    Index("selection_in_order", "session", "iteration", "position"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("session", Text, primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("session", Text, primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("tier", Text),
    Column("outcome", Text, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("revision", Text),
    Column("trace_id", Text, nullable=False),
    Column("flaky", Boolean, nullable=False),
    Column("authenticity", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("stage", Text),
    Column("symptom", Text),
    Column("message", Text),
    Column("body", LargeBinary),  # output, traceback and evidence: see codec
    Index("results_counted", "session", "iteration", "attempt", "outcome", "flaky", "authenticity"),
)

entries = Table(
    "entries",
    metadata,
    Column("session", Text, primary_key=True),
    Column("timestamp", Text, primary_key=True),
    Column("log", Text, primary_key=True),
    Column("insert_id", Text, primary_key=True),
    Column("iteration", Integer, nullable=False),
    Column("severity", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("trace_id", Text),
    Column("tests", Text, nullable=False),
    Column("request", Text),
    Column("message", Text, nullable=False),
    Column("payload", Text),
    Index("entries_of_iteration", "session", "iteration", "timestamp"),
)

findings = Table(
    "findings",
    metadata,
    Column("session", Text, primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("symptom", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("impact", Text),
    Column("tests", Text, nullable=False),
    Column("first_iteration", Integer, nullable=False),
    Column("last_iteration", Integer, nullable=False),
    Column("root_cause", Text),
    Column("stage", Text),
    Column("whys", Text, nullable=False),
    Column("claims", Text, nullable=False),
)

durations = Table(
    "durations",
    metadata,
    Column("loop", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("duration_s", Float, nullable=False),
)

identity = Table(
    "store_identity",  # of one row
    metadata,
    Column("id", Text, primary_key=True),  # random; a copy of the store has the same
    Column("epochs", Integer, nullable=False),  # the highest epoch of any session that was removed
)


def fetch(connection: Connection, asked: Select[Any]) -> list[dict[str, Any]]:
    """The rows of an answer as `codec` reads them."""
    return list(rows(connection, asked))


def fetch_well_formed(connection: Connection, asked: Select[Any], values: dict[str, Any]) -> Sequence[Any]:
    """The rows of an answer by place, in half the time where their texts are well-formed, as all that we write are."""
    driver: Any = connection.connection.driver_connection
    before = getattr(driver, "text_factory", None)
    if before is None:  # not SQLite's
        return connection.execute(asked, values).fetchall()
    driver.text_factory = str
    try:
        return connection.execute(asked, values).fetchall()
    except OperationalError:  # a flipped byte, or whatever it was comes again
        driver.text_factory = before
        return connection.execute(asked, values).fetchall()
    finally:
        driver.text_factory = before


def rows(connection: Connection, asked: Select[Any]) -> Iterator[dict[str, Any]]:
    """The same one by one, so that heavy ones need not all be held at once; to be used up within the transaction."""
    answer = connection.execute(asked)
    names = tuple(answer.keys())
    return (dict(zip(names, row, strict=True)) for row in answer)
