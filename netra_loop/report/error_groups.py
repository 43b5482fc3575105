"""Error groups for people: `logs --groups`, and the words for them in a status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netra_loop.clock import from_rfc3339
from netra_loop.core.error_groups import ErrorGroup, told
from netra_loop.core.events import ErrorsGrouped, Recorded
from netra_loop.report import phrases
from netra_loop.report.grid import Column, Grid
from netra_loop.report.safe import safe_line

_NONE = "no error is in the log entries that were read"


def group_rows(recorded: Iterable[Recorded], iteration: int | None) -> list[dict[str, Any]]:
    """The groups of an iteration, each as one JSON object, `new` being null where nothing is known of the revision
    before; None: of every iteration. The last word on an iteration counts.
    """
    last = {item.event.iteration: item.event for item in recorded if isinstance(item.event, ErrorsGrouped)}
    return [
        {**ErrorGroup.from_row(row).row(), "iteration": number}
        for number, event in sorted(last.items())
        if iteration in {None, number}
        for row in event.groups
    ]


def why_none(recorded: Iterable[Recorded], iteration: int | None, groups: int) -> str:
    """What is said where none of so many `groups` is shown."""
    if groups:
        return f"none of these among the {groups} error groups"
    found = [item.event for item in recorded if isinstance(item.event, ErrorsGrouped)]
    last = {event.iteration: event.complete for event in found if iteration in {None, event.iteration}}
    if not last:
        return "nobody has looked for errors in the log so far: `record` does"
    return _NONE if all(last.values()) else "no error was read, but the logs are not complete"


def error_groups(rows: Sequence[Mapping[str, Any]], empty: str = _NONE) -> Grid:
    """The groups, new ones first, then the most frequent; `empty` is said where there are none."""
    columns = [Column("ID"), Column("NEW"), Column("COUNT", right=True), Column("FIRST"), Column("LAST")]
    columns += [Column("SERVICE"), Column("TESTS", right=True), Column("ERROR", fold=True), Column("PLACE", fold=True)]
    return Grid(
        columns,
        [
            [
                safe_line(row["id"]),
                {True: "new", False: "", None: "?"}[row["new"]],
                str(row["count"]),
                f"{from_rfc3339(row['first_at']):%H:%M:%S}",
                f"{from_rfc3339(row['last_at']):%H:%M:%S}",
                safe_line(row["service"]),
                str(len(row["tests"])),
                safe_line(row["title"], phrases.MESSAGE_MAX),
                safe_line(row["place"] or ""),
            ]
            for row in sorted(rows, key=lambda row: (row["iteration"], row["new"] is not True, -row["count"]))
        ],
        empty=empty,
        below=1,
    )


def errors_told(event: ErrorsGrouped | None) -> str:
    """`3 error groups, 1 new in this revision`; empty where there are none, or nobody looked yet."""
    return "" if event is None else told(event.groups, sum(map(len, event.others.values())))
