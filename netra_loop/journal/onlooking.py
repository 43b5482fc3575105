"""What those who only look ask of an iteration with a million results: counts without rows, and rows in pages.

As in `reading`, the caller opened the transaction. A page is found by the place behind which it begins, so that the
next one is read for no more than itself, by whichever indexes the store has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netra_loop.core.records import Authenticity, Outcome, Result, Selected
from netra_loop.journal import codec
from netra_loop.journal import tables as t
from netra_loop.journal.base import Counted
from netra_loop.journal.reading import decoded
from netra_loop.journal.sql import Connection, several

Place = tuple[Any, ...]
"""(position,) of a test in the selection, or (start, attempt, id) of a result without one; () is before the first."""

_HERE = "WHERE session = ? AND iteration = ?"
_KINDS = ("outcome", "flaky", "authenticity")
_SEVERAL = t.results.select(f"{_HERE} AND attempt > 1", ("id",))
_RETRIED = t.results.select(f"{_HERE} AND id IN ({_SEVERAL})", codec.RESULT_LIGHT)
_ALIKE = t.results.select(f"{_HERE} AND attempt = 1 GROUP BY outcome, flaky, authenticity", (*_KINDS, "count(*)"))
_LIGHT = t.results.of(codec.RESULT_LIGHT)
_OF_THE_TEST = " AND ".join(f"results.{name} = selection.{name}" for name in t.selection.key)


def counted(connection: Connection, session: str, iteration: int) -> Counted:
    """See `Journal.counted`."""
    here = (session, iteration)
    several_times = connection.all(_RETRIED, (*here, *here))
    retried = decoded(session, "results", several_times, codec.result_from_values)
    alike = connection.all(_ALIKE, here)
    once = {(Outcome(of), bool(flaky), Authenticity(seen)): number for of, flaky, seen, number in alike}
    for result in retried:
        if result.attempt == 1:
            once[result.outcome, result.flaky, result.authenticity] -= 1
    return Counted({kind: number for kind, number in once.items() if number}, retried)


def selected(connection: Connection, session: str, iteration: int, tests: Sequence[str]) -> list[Selected]:
    """The selection in its order, of these tests alone."""
    if not tests:
        return []
    rest = f"{_HERE} AND id IN ({several(len(tests))}) ORDER BY position, id"
    values = (session, iteration, *map(codec.clean, tests))
    rows = connection.all(t.selection.select(rest, codec.SELECTED_READ), values)
    return decoded(session, "selection", rows, codec.selected_from_values)


def named(connection: Connection, session: str, iteration: int, part: str) -> list[str]:
    """Every id of the iteration with `part` in it: ended, begun or selected."""
    part = codec.clean(part)
    escaped = part.replace("/", "//").replace("%", "/%").replace("_", "/_")
    rest = f"{_HERE} AND id LIKE ? ESCAPE '/'"
    asked = " UNION ".join(table.select(rest, ("id",)) for table in (t.selection, t.attempts, t.results))
    found = connection.all(asked, (session, iteration, f"%{escaped}%") * 3)
    return [test for (test,) in found if part in test]  # SQLite does not tell a from A there


def placed_page(
    connection: Connection, session: str, iteration: int, after: Place, size: int
) -> tuple[list[Result], Place | None]:
    """The results of the `size` tests that the selection has behind place `after`, all attempts of each, and the place
    to go on behind; None: there are no more tests.
    """
    behind = "WHERE selection.session = ? AND selection.iteration = ?"
    values: tuple[Any, ...] = (session, iteration)
    if after:
        behind += " AND selection.position > ?"
        values += after
    window = t.selection.select(f"{behind} ORDER BY position LIMIT ?", ("position",))
    last = connection.scalar(f"SELECT max(position) FROM ({window}) AS behind", (*values, size))  # noqa: S608 - words of ours
    if last is None:
        return [], None
    rest = f"JOIN results ON {_OF_THE_TEST} {behind} AND selection.position <= ?"
    asked = t.selection.select(f"{rest} ORDER BY selection.position, results.attempt, results.id", _LIGHT)
    rows = connection.rows(asked, (*values, last))
    return decoded(session, "results", rows, codec.result_from_values), (last,)


def unplaced_page(
    connection: Connection, session: str, iteration: int, after: Place, size: int
) -> tuple[list[Result], Place | None]:
    """The `size` results behind `after` of tests that are not in the selection, by start; see `placed_page`."""
    chosen = t.selection.select(f"WHERE {_OF_THE_TEST}", ("1",))
    rest = f"WHERE results.session = ? AND results.iteration = ? AND NOT EXISTS ({chosen})"
    if after:
        rest += " AND (started_at, attempt, id) > (?, ?, ?)"
    asked = t.results.select(f"{rest} ORDER BY started_at, attempt, id LIMIT ?", _LIGHT)
    rows = connection.all(asked, (session, iteration, *after, size))
    found = decoded(session, "results", rows, codec.result_from_values)
    if len(rows) < size:
        return found, None
    last = dict(zip(codec.RESULT_LIGHT, rows[-1], strict=True))
    return found, (last["started_at"], last["attempt"], last["id"])
