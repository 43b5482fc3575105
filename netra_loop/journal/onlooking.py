"""What those who only look ask of an iteration with a million results: counts without rows, and rows in pages.

As in `reading`, the caller opened the transaction. A page is found by the place behind which it begins, so that the
next one is read for no more than itself, by whichever indexes the store has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from netra_loop.core.records import Authenticity, Outcome, Result, Selected
from netra_loop.journal import codec
from netra_loop.journal import tables as t
from netra_loop.journal.base import Counted
from netra_loop.journal.reading import decoded

Place = tuple[Any, ...]
"""(position,) of a test in the selection, or (start, attempt, id) of a result without one; () is before the first."""

_LIGHT = [column for column in t.results.columns if column.name != "body"]


def counted(connection: sa.Connection, session: str, iteration: int) -> Counted:
    """See `Journal.counted`."""
    c = t.results.c
    here = sa.and_(c.session == session, c.iteration == iteration)
    retried = sa.select(c.id).where(here, c.attempt > 1)
    rows = t.rows(connection, sa.select(*_LIGHT).where(here, c.id.in_(retried)))
    several = decoded(session, "results", rows, codec.result_from_row)
    kinds = (c.outcome, c.flaky, c.authenticity)
    alike = connection.execute(sa.select(*kinds, sa.func.count()).where(here, c.attempt == 1).group_by(*kinds))
    once = {(Outcome(of), bool(flaky), Authenticity(seen)): number for of, flaky, seen, number in alike}
    for result in several:
        if result.attempt == 1:
            once[result.outcome, result.flaky, result.authenticity] -= 1
    return Counted({kind: number for kind, number in once.items() if number}, several)


def selected(connection: sa.Connection, session: str, iteration: int, tests: Sequence[str]) -> list[Selected]:
    """The selection in its order, of these tests alone."""
    c = t.selection.c
    asked = sa.select(t.selection).where(c.session == session, c.iteration == iteration)
    asked = asked.where(c.id.in_([codec.clean(test) for test in tests])).order_by(c.position, c.id)
    return decoded(session, "selection", t.rows(connection, asked), codec.selected_from_row)


def named(connection: sa.Connection, session: str, iteration: int, part: str) -> list[str]:
    """Every id of the iteration with `part` in it: ended, begun or selected."""
    asked = [
        sa.select(table.c.id).where(
            table.c.session == session,
            table.c.iteration == iteration,
            table.c.id.contains(codec.clean(part), autoescape=True),
        )
        for table in (t.selection, t.attempts, t.results)
    ]
    return [row.id for row in connection.execute(sa.union(*asked)) if codec.clean(part) in row.id]


def placed_page(
    connection: sa.Connection, session: str, iteration: int, after: Place, size: int
) -> tuple[list[Result], Place | None]:
    """The results of the `size` tests that the selection has behind place `after`, all attempts of each, and the place
    to go on behind; None: there are no more tests.
    """
    c, s = t.results.c, t.selection.c
    here = sa.and_(s.session == session, s.iteration == iteration)
    behind = sa.and_(here, s.position > after[0]) if after else here
    window = sa.select(s.position).where(behind).order_by(s.position).limit(size).subquery()
    last = connection.execute(sa.select(sa.func.max(window.c.position))).scalar()
    if last is None:
        return [], None
    of = t.selection.join(t.results, sa.and_(c.session == s.session, c.iteration == s.iteration, c.id == s.id))
    asked = sa.select(*_LIGHT).select_from(of).where(behind, s.position <= last)
    rows = t.rows(connection, asked.order_by(s.position, c.attempt, c.id))
    return decoded(session, "results", rows, codec.result_from_row), (last,)


def unplaced_page(
    connection: sa.Connection, session: str, iteration: int, after: Place, size: int
) -> tuple[list[Result], Place | None]:
    """The `size` results behind `after` of tests that are not in the selection, by start; see `placed_page`."""
    c, s = t.results.c, t.selection.c
    chosen = sa.select(s.id).where(s.session == c.session, s.iteration == c.iteration, s.id == c.id)
    asked = sa.select(*_LIGHT).where(c.session == session, c.iteration == iteration, ~chosen.exists())
    order = (c.started_at, c.attempt, c.id)
    if after:
        asked = asked.where(sa.tuple_(*order) > sa.tuple_(*map(sa.literal, after)))
    rows = t.fetch(connection, asked.order_by(*order).limit(size))
    found = decoded(session, "results", rows, codec.result_from_row)
    return found, (rows[-1]["started_at"], rows[-1]["attempt"], rows[-1]["id"]) if len(rows) == size else None
