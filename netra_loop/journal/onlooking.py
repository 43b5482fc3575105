"""What those who only look ask of an iteration with a million results: counts without rows, and rows in pages.

As in `reading`, the caller opened the transaction. A page is found by the place behind which it begins, so that the
next one is read for no more than itself, by whichever indexes the store has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from netra_loop.core.records import AttemptStarted, Authenticity, Outcome, Result, Selected
from netra_loop.journal import codec
from netra_loop.journal import tables as t
from netra_loop.journal.base import Counted, Mark, Standing
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
_LATER = (
    "WHERE later.session = results.session AND later.iteration = results.iteration AND later.id = results.id "
    "AND later.attempt > results.attempt"
)
_FAILURES = tuple(outcome.value for outcome in Outcome if outcome.is_failure)
_FAILED = f"(outcome IN ({several(len(_FAILURES))}) OR authenticity = ?)"
_LOOKED_AT = 200  # failures, for the newest that no later attempt has taken the place of
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


def standing(
    connection: Connection, session: str, iteration: int, until: Mark, newest: int, since: datetime | None
) -> Standing:
    """See `Journal.standing`. What is counted is in an index, unless `since` is asked for as well."""
    own = _place(connection)
    place = f"results.{own}"  # elsewhere than in a table of its own there is none
    rest, values = _then(f"{_HERE} AND {place} <= ?", (session, iteration, until.results), since)
    kinds = ", ".join(_KINDS)
    every = connection.all(t.results.select(f"{rest} GROUP BY {kinds}", (*_KINDS, "count(*)")), values)
    last = t.results.select(f"{rest} AND attempt > 1 GROUP BY id", ("id", "max(attempt) AS final"))
    earlier = f"JOIN ({last}) AS several ON results.id = several.id AND attempt < final {rest} GROUP BY {kinds}"
    taken = connection.all(t.results.select(earlier, (*_KINDS, "count(*)")), (*values, *values))
    counted = {_kind(row): row[-1] for row in every}
    for row in taken:
        counted[_kind(row)] -= row[-1]
    places = t.results.select(f"{rest} AND {_FAILED} ORDER BY +{place} DESC LIMIT ?", (place,))
    later = f"SELECT 1 FROM results AS later {_LATER} AND later.{own} <= ?"  # noqa: S608 - words of ours
    asked = f"WHERE {place} IN ({places}) AND NOT EXISTS ({later}) ORDER BY {place} DESC LIMIT ?"
    found = connection.all(
        t.results.select(asked, codec.RESULT_LIGHT),
        (*values, *_FAILURES, Authenticity.FAKE.value, _LOOKED_AT, until.results, newest),
    )
    entries = connection.scalar(t.entries.count(f"{_HERE} AND {own} <= ?"), (session, iteration, until.entries))
    return Standing(
        {kind: number for kind, number in counted.items() if number},
        decoded(session, "results", found, codec.result_from_values)[::-1],
        entries,
    )


def under_way(
    connection: Connection, session: str, iteration: int, until: Mark, since: datetime | None
) -> list[AttemptStarted]:
    """See `Journal.under_way`."""
    place = _place(connection)
    rest, values = _then(f"{_HERE} AND {place} <= ?", (session, iteration, until.attempts), since)
    ended = (
        "SELECT 1 FROM results WHERE results.session = attempts.session AND results.iteration = attempts.iteration "  # noqa: S608 - words of ours
        f"AND results.id = attempts.id AND results.attempt >= attempts.attempt AND results.{place} <= ?"
    )
    asked = t.attempts.select(f"{rest} AND NOT EXISTS ({ended}) ORDER BY started_at, attempt, id", codec.ATTEMPT_READ)
    return decoded(session, "attempts", connection.all(asked, (*values, until.results)), codec.attempt_from_values)


def _place(connection: Connection) -> str:
    """What marks are made of."""
    return "place" if connection.is_shared else "rowid"


def _then(rest: str, values: tuple[Any, ...], since: datetime | None) -> tuple[str, tuple[Any, ...]]:
    return (rest, values) if since is None else (f"{rest} AND started_at >= ?", (*values, codec.write_at(since)))


def _kind(row: Sequence[Any]) -> tuple[Outcome, bool, Authenticity]:
    return Outcome(row[0]), bool(row[1]), Authenticity(row[2])


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
