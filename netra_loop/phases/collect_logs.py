"""`uses: collect-logs`: what the revisions under test logged, and the proof that it is all there."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from netra_loop.clock import rfc3339
from netra_loop.cloud.base import Cloud, LogQuery
from netra_loop.core.events import LogsRead
from netra_loop.core.records import Batch, LogEntry
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.serving import ensure_serving

_EARLY = timedelta(seconds=5)  # a revision logs before its deploy is acknowledged
_OVERLAP = timedelta(seconds=30)  # a request's entry carries its start but appears after its end
_LOOK_AGAIN_S = 0.2
_DEFAULT_SETTLE_S = 10.0


@dataclass(frozen=True)
class _Mark:
    """One marked request: its entry carries `trace_id`."""

    revision: str
    trace_id: str


class CollectLogs:
    """Reads pages until every revision's marked request is among them. A page read twice is stored once, so after a
    crash reading begins again a little before where it stood.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. Logs that never became complete are no failure here: `record` judges what it means."""
        gc.collect()  # what the tests' run left behind hangs together in circles, and entries are about to come
        cloud = await context.tools.cloud()
        revisions = await self._revisions(context)
        if cloud is None:
            return PhaseResult("ok", "there is no cloud whose logs could be read")
        if not revisions:
            fact = context.stamp(LogsRead(entries=0, cursor="", complete=False))
            return PhaseResult("ok", "there are no revisions whose logs could be read", batch=Batch(events=(fact,)))
        marks = await self._mark(context)
        settle_s = float(context.phase.with_.get("settle_s", _DEFAULT_SETTLE_S))
        severity = context.phase.with_.get("severity")
        services = tuple(context.state().revisions)
        traces = {attempt.trace_id for attempt in await context.journal.attempts(context.session, context.iteration)}
        since = (context.state().iteration_started_at or context.clock.now()) - _EARLY
        give_up = context.clock.monotonic() + settle_s
        waiting = {mark.trace_id for mark in marks}
        pages = context.journal.entry_pages(context.session, context.iteration)
        seen = {_key(entry) async for page in pages for entry in page}  # read by an earlier attempt, not to count twice
        while True:
            query = LogQuery(revisions, since, severity=severity, services=services)
            newest = await self._sweep(context, cloud, query, seen, waiting, traces)
            if (marks and not waiting) or context.clock.monotonic() >= give_up:
                break
            since = max(since, newest - _OVERLAP) if newest else since
            await context.clock.sleep(_LOOK_AGAIN_S)
        complete = bool(marks) and not waiting
        fact = context.stamp(LogsRead(entries=0, cursor=rfc3339(context.clock.now()), complete=complete))
        told = "complete" if complete else f"not complete after {settle_s:g} s"
        return PhaseResult(
            "ok",
            f"{len(seen)} entries, {told}",
            {"entries": len(seen), "complete": complete},
            Batch(events=(fact,)),
        )

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _revisions(self, context: PhaseContext) -> tuple[str, ...]:
        """The revisions under test; after a failed deploy, the one that failed."""
        failed = context.state().failed_deploy
        if failed is not None:
            return (str(failed["revision"]),) if failed["revision"] else ()  # none was made where the build failed
        return tuple(revision.name for revision in (await ensure_serving(context)).values())

    async def _mark(self, context: PhaseContext) -> list[_Mark]:
        """Sends the marked requests. A revision that never got ready cannot be asked."""
        if context.state().failed_deploy is not None:
            return []
        marks = []
        for service, revision in context.state().revisions.items():
            probe = context.spec.services[service].startup_probe if service in context.spec.services else None
            trace_id = secrets.token_hex(16)
            await context.tools.request(revision.url + (probe.path if probe else "/"), trace_id)
            marks.append(_Mark(revision.name, trace_id))
        return marks

    async def _sweep(
        self,
        context: PhaseContext,
        cloud: Cloud,
        query: LogQuery,
        seen: set[tuple[str, datetime, str]],
        waiting: set[str],
        traces: AbstractSet[str],
    ) -> datetime | None:
        """Reads and stores everything that answers `query`; takes off `waiting` the marks it saw. Gives the newest
        entry's time, None where there was none. Of what other revisions answered only the tests' own requests are kept.
        """
        newest: datetime | None = None
        async for page in cloud.entries(query):
            fresh = [
                entry
                for entry in page.entries
                if _key(entry) not in seen and (entry.revision in query.revisions or entry.trace_id in traces)
            ]
            if page.entries:
                newest = page.entries[-1].timestamp
            waiting.difference_update(
                entry.trace_id for entry in page.entries if entry.log == "requests" and entry.trace_id
            )
            if not fresh:
                continue
            stored = _redacted(context, fresh)
            fact = context.stamp(LogsRead(entries=len(stored), cursor=page.cursor))
            await context.record(Batch(events=(fact,), entries=tuple(stored)))
            seen.update(_key(entry) for entry in fresh)
        return newest


def _key(entry: LogEntry) -> tuple[str, datetime, str]:
    return entry.log, entry.timestamp, entry.insert_id


def _redacted(context: PhaseContext, entries: Sequence[LogEntry]) -> list[LogEntry]:
    def clean(value: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if value is None else context.redactor.deep(value)

    return [
        replace(
            entry,
            message=context.redactor.text(entry.message),
            payload=clean(entry.payload),
            request=clean(entry.request),
            iteration=context.iteration,
        )
        for entry in entries
    ]
