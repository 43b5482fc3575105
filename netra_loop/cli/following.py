"""`logs --follow`: entries as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from netra_loop.cli.pulse import Pulse
from netra_loop.clock import Clock
from netra_loop.core.records import SEVERITIES, LogEntry
from netra_loop.errors import UsageError
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.report.safe import safe_line
from netra_loop.values import dataclass

_Key = tuple[str, object, str]


@dataclass(frozen=True)
class Wanted:
    """Which entries are asked for: from a severity on, of some services, of some revisions; None and empty: all."""

    severity: str | None = None
    services: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()

    def of(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Those of `entries`."""
        return [entry for entry in entries if self._takes(entry)]

    def groups(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of error groups, as rows: of a service, with entries of a revision, of the severity that they have."""
        return [row for row in rows if self._has(row["severity"], row["service"], row["revisions"])]

    def _takes(self, entry: LogEntry) -> bool:
        return self._has(entry.severity, entry.service, (entry.revision,))

    def _has(self, severity: str, service: str, revisions: Collection[str]) -> bool:
        return (
            (self.severity is None or _rank(severity) >= _rank(self.severity))
            and (not self.services or service in self.services)
            and (not self.revisions or not set(revisions).isdisjoint(self.revisions))
        )


def severity_of(text: str | None) -> str | None:
    """The severity that a person means. UsageError for none."""
    if text is None or text.upper() in SEVERITIES:
        return None if text is None else text.upper()
    raise UsageError(f"--severity {text!r} is no severity, expected one of {', '.join(SEVERITIES)}")


async def entries_as_they_come(
    store: Journal,
    head: SessionHead,
    iteration: int | None,
    wanted: Wanted,
    say: Callable[[Sequence[LogEntry]], None],
    clock: Clock,
    *,
    onwards: bool,
) -> None:
    """Says the entries of the iteration (None: of all) that are stored, in the order of time, then those that come, in
    the order of their coming, until the session is over. `onwards`: of later iterations, too.
    """
    pulse = Pulse(store, head.id, clock)
    await pulse.begin()
    said: set[_Key] = set()  # what may come once more, among the first news
    for one in range(1, pulse.state.iteration + 1) if iteration is None else (iteration,):
        async for page in store.entry_pages(head.id, one):
            say(wanted.of(page))
            said.update(map(_key, page))
    async for news in pulse.news():
        fresh = [
            entry
            for entry in news.entries
            if (iteration is None or entry.iteration == iteration or (onwards and entry.iteration > iteration))
            and _key(entry) not in said
        ]
        say(wanted.of(fresh))
        if not news.more:
            said.clear()


def line(entry: LogEntry) -> str:
    """One entry for a person, harmless."""
    at = f"{entry.timestamp:%H:%M:%S}.{entry.timestamp.microsecond // 1000:03d}"
    kind = f"{safe_line(entry.severity):<8}  {safe_line(entry.log):<8}"
    return f"{at}  {kind}  {safe_line(entry.revision)}  {safe_line(entry.message, 1000)}"


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


def _key(entry: LogEntry) -> _Key:
    return entry.log, entry.timestamp, entry.insert_id
