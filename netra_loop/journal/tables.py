"""The journal's tables, for every database alike. Types are the plainest that keep what `codec` writes.

`SCHEMA` goes up by one with each change here, with a step in `migrations` that makes an older store alike; a store of
a newer schema is refused. Columns that are read rarely and are large stand last, so that counting an iteration does not
touch them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

from netra_loop.journal.sql import several
from netra_loop.values import dataclass

SCHEMA = 3
OLDEST = 1  # that `migrations` leads on from
APPLICATION_ID = 0x6E4C6F70  # "nLop", SQLite's own mark of whose file it is


@dataclass(frozen=True)
class Column:
    """`kind` is SQLite's name of the type; `null`: it may be empty."""

    name: str
    kind: str
    null: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """A table, and the statements that are said of each."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Its columns, in order."""
        return tuple(column.name for column in self.columns)

    def of(self, names: Iterable[str]) -> tuple[str, ...]:
        """These columns, where another table has some of the same name."""
        return tuple(f"{self.name}.{name}" for name in names)

    @cached_property
    def insert(self) -> str:
        """A new row, of values in the order of `names`."""
        return f"INSERT INTO {self.name} ({', '.join(self.names)}) VALUES ({several(len(self.names))})"  # noqa: S608 - names of ours

    @cached_property
    def upsert(self) -> str:
        """The same, in the place of a row of the same key."""
        changed = ", ".join(f"{name} = excluded.{name}" for name in self.names if name not in self.key)
        return f"{self.insert} ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changed}"

    def select(self, rest: str, names: Iterable[str] = ()) -> str:
        """Its rows, all columns or those of `names`; `rest` is what follows the table's name."""
        return f"SELECT {', '.join(names or self.names)} FROM {self.name} {rest}"  # noqa: S608 - names of ours

    def count(self, rest: str) -> str:
        """How many there are."""
        return f"SELECT count(*) FROM {self.name} {rest}"  # noqa: S608 - names of ours

    def delete(self, rest: str) -> str:
        """Removes some."""
        return f"DELETE FROM {self.name} {rest}"  # noqa: S608 - names of ours

    def update(self, names: Iterable[str], rest: str) -> str:
        """Changes these columns, of values in that order."""
        return f"UPDATE {self.name} SET {', '.join(f'{name} = ?' for name in names)} {rest}"  # noqa: S608 - names of ours

    def named(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
        """Rows of all its columns, by name."""
        return (dict(zip(self.names, row, strict=True)) for row in rows)

    def making(self, types: Mapping[str, str]) -> Iterator[str]:
        """What makes it and its indexes; `types` has the database's own names of types, where they are others."""
        parts = [f"{one.name} {types.get(one.kind, one.kind)}{'' if one.null else ' NOT NULL'}" for one in self.columns]
        parts += [f"PRIMARY KEY ({', '.join(self.key)})"] if self.key else []
        parts += [f"UNIQUE ({', '.join(self.unique)})"] if self.unique else []
        yield f"CREATE TABLE {self.name} (\n\t" + ", \n\t".join(parts) + "\n)"
        for name, columns in self.indexes.items():
            yield f"CREATE INDEX {name} ON {self.name} ({', '.join(columns)})"


def text(name: str, *, null: bool = False) -> Column:
    """A column of text, which is compared byte by byte."""
    return Column(name, "TEXT", null)


def integer(name: str, *, null: bool = False) -> Column:
    """A column of whole numbers, of 32 bits at least."""
    return Column(name, "INTEGER", null)


sessions = Table(
    "sessions",
    (
        text("id"),
        integer("ordinal"),  # order of making, whatever the clocks said
        text("loop"),
        text("environment"),
        text("state"),
        integer("iteration"),
        text("phase", null=True),
        text("started_at"),
        text("updated_at"),
        integer("exit_code", null=True),
        integer("epoch"),  # rises with each owner
        integer("last_seq"),  # where the chain of events ends
        text("last_hash"),
        text("owner", null=True),  # the last owner's own name, random: what the epoch alone does not tell apart
    ),
    key=("id",),
    unique=("ordinal",),
)

events = Table(
    "events",
    (
        text("session"),
        integer("seq"),
        text("at"),
        integer("iteration"),
        text("phase", null=True),
        integer("attempt"),
        text("event"),
        text("outcome", null=True),
        text("hash"),
        text("detail"),
    ),
    key=("session", "seq"),
)

selection = Table(
    "selection",
    (
        text("session"),
        integer("iteration"),
        text("id"),
        text("tier", null=True),
        integer("position"),
        text("reason"),
        text("path", null=True),
        integer("line", null=True),
    ),
    key=("session", "iteration", "id"),
    indexes={"selection_in_order": ("session", "iteration", "position")},
)

attempts = Table(
    "attempts",
    (
        text("session"),
        integer("iteration"),
        text("id"),
        integer("attempt"),
        text("worker"),
        text("started_at"),
        text("trace_id"),
    ),
    key=("session", "iteration", "id", "attempt"),
)

results = Table(
    "results",
    (
        text("session"),
        integer("iteration"),
        text("id"),
        integer("attempt"),
        text("tier", null=True),
        text("outcome"),
        Column("duration_s", "FLOAT"),
        text("started_at"),
        text("worker"),
        text("revision", null=True),
        text("trace_id"),
        Column("flaky", "BOOLEAN"),
        text("authenticity"),
        text("reasons"),
        text("stage", null=True),
        text("symptom", null=True),
        text("message", null=True),
        Column("body", "BLOB", null=True),  # output, traceback and evidence: see codec
    ),
    key=("session", "iteration", "id", "attempt"),
    indexes={"results_counted": ("session", "iteration", "attempt", "outcome", "flaky", "authenticity")},
)

entries = Table(
    "entries",
    (
        text("session"),
        text("timestamp"),
        text("log"),
        text("insert_id"),
        integer("iteration"),
        text("severity"),
        text("service"),
        text("revision"),
        text("trace_id", null=True),
        text("tests"),
        text("request", null=True),
        text("message"),
        text("payload", null=True),
    ),
    key=("session", "timestamp", "log", "insert_id"),
    indexes={"entries_of_iteration": ("session", "iteration", "timestamp")},
)

findings = Table(
    "findings",
    (
        text("session"),
        integer("iteration"),
        text("id"),
        integer("position"),
        text("state"),
        text("cause"),
        text("symptom"),
        text("signature"),
        text("title"),
        text("impact", null=True),
        text("tests"),
        integer("first_iteration"),
        integer("last_iteration"),
        text("root_cause", null=True),
        text("stage", null=True),
        text("whys"),
        text("claims"),
    ),
    key=("session", "iteration", "id"),
)

durations = Table(
    "durations",
    (text("loop"), text("id"), Column("duration_s", "FLOAT")),
    key=("loop", "id"),
)

identity = Table(
    "store_identity",  # of one row
    (
        text("id"),  # random; a copy of the store has the same
        integer("epochs"),  # the highest epoch of any session that was removed
    ),
    key=("id",),
)

TABLES = (sessions, events, selection, attempts, results, entries, findings, durations, identity)
BESIDE = (selection, attempts, results, entries, findings)  # whose rows belong to a session, beside its events
