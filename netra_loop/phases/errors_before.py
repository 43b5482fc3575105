"""Which errors the revision before had: as this store's sessions grouped them, else as that revision logged them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from netra_loop.cloud.base import Cloud, LogQuery
from netra_loop.core.error_groups import ErrorGroup
from netra_loop.core.events import ErrorsBefore, ErrorsGrouped, Event, TrafficSeen
from netra_loop.core.log_review import reviewed
from netra_loop.core.records import LogEntry
from netra_loop.errors import EnvironmentFailed, StoreError
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.known import sources

Known = dict[str, tuple[str, frozenset[str]]]

_SESSIONS = 5  # of the loop, the newest ones, that are looked through
_LOOK_BACK = timedelta(hours=1)
_MOST_PAGES = 3


async def errors_before(context: PhaseContext) -> Known:
    """By service, the newest other revision whose errors are known, and their signatures."""
    current = {service: revision.name for service, revision in context.state().revisions.items()}
    known: Known = {}
    own = [item.event for item in await context.journal.events(context.session)]
    _look(reversed(own), current, known)
    if len(known) < len(current):
        for session in await _others(context):
            try:
                events = [item.event for item in await context.journal.events(session)]
            except StoreError:  # what is wrong with another session is told to whoever asks for that one
                continue
            _look(reversed(events), current, known)
    return known


async def read_errors_before(context: PhaseContext, cloud: Cloud) -> None:
    """Where no session here knows them: asks the cloud what the revision that served before logged in the hour before
    the iteration, three pages at most, and records it. A revision that logged nothing then, or more, is not judged by.
    """
    state = context.state()
    known = await errors_before(context)
    served: dict[str, str] = {}
    for item in await context.journal.events(context.session):
        event = item.event
        if isinstance(event, TrafficSeen) and event.revision is not None:
            served.setdefault(event.service, event.revision)
    for service, revision in state.revisions.items():
        before = served.get(service)
        if service in known or before is None or before == revision.name:
            continue
        entries = await _logged(context, cloud, before)
        if entries:
            groups = reviewed(entries, sources(context)).groups()
            signatures = tuple(sorted({group.signature for group in groups if group.service == service}))
            await context.event(ErrorsBefore(service=service, revision=before, signatures=signatures))


async def _logged(context: PhaseContext, cloud: Cloud, revision: str) -> Sequence[LogEntry]:
    since = (context.state().iteration_since or context.clock.now()) - _LOOK_BACK
    entries: list[LogEntry] = []
    pages = 0
    try:
        async for page in cloud.entries(LogQuery((revision,), since, severity="ERROR")):
            entries += page.entries
            pages += 1
            if pages == _MOST_PAGES and not page.last:
                return ()
    except EnvironmentFailed:
        return ()  # only the comparison is lost
    return entries


async def _others(context: PhaseContext) -> list[str]:
    heads = await context.journal.sessions()
    mine = next((head for head in heads if head.id == context.session), None)
    if mine is None:
        return []
    alike = [head.id for head in heads if (head.loop, head.environment) == (mine.loop, mine.environment)]
    return [session for session in alike if session != context.session][:_SESSIONS]


def _look(newest_first: Iterable[Event], current: dict[str, str], known: Known) -> None:
    for event in newest_first:
        if isinstance(event, ErrorsBefore):
            if event.service not in known and event.revision != current.get(event.service):
                known[event.service] = event.revision, frozenset(event.signatures)
        elif isinstance(event, ErrorsGrouped) and event.complete:
            for service, revision in event.revisions.items():
                if service in current and service not in known and revision != current[service]:
                    known[service] = revision, _signatures(event, service)


def _signatures(event: ErrorsGrouped, service: str) -> frozenset[str]:
    groups = (ErrorGroup.from_row(row) for row in event.groups)
    own = {group.signature for group in groups if group.service == service}
    return frozenset(own | set(event.others.get(service, ())))
