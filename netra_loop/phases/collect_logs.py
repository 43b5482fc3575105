"""`uses: collect-logs`: what the revisions under test logged, and the proof that it is all there."""

from __future__ import annotations

import gc
import secrets
from datetime import timedelta

from netra_loop.clock import Beginning
from netra_loop.cloud.base import Cloud
from netra_loop.core.events import LogsRead, Noted
from netra_loop.core.records import Batch, Revision
from netra_loop.errors import OutOfReads
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.errors_before import read_errors_before
from netra_loop.phases.log_reading import Reading
from netra_loop.phases.serving import ensure_serving
from netra_loop.phases.tokens import token
from netra_loop.processes import give_back_memory

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_MOST_LOOKS = 15  # reads have a quota: a long wait has longer pauses
_ONCE_MORE_S = 1.0
_STRAGGLERS_S = 2.0  # after the marks were seen: an entry before them may become readable after them
_SKEW = timedelta(seconds=60)  # between our clock and the cloud's
_DEFAULT_SETTLE_S = 10.0
_REFUSED = frozenset({401, 403})


class CollectLogs:
    """Reads pages until every revision's marked request is among them. A page read twice is stored once, so after a
    crash reading begins again a little before where it stood.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. Logs that never became complete are no failure here: `record` judges what it means."""
        gc.collect()  # what the tests' run left behind hangs together in circles, and entries are about to come
        give_back_memory()
        cloud = await context.tools.cloud()
        revisions = await self._revisions(context)
        if cloud is None:
            return PhaseResult("ok", "there is no cloud whose logs could be read")
        if not revisions:
            fact = context.stamp(LogsRead(entries=0, cursor="", complete=False))
            return PhaseResult("ok", "there are no revisions whose logs could be read", batch=Batch(events=(fact,)))
        began, began_s = Beginning(context.clock), context.clock.monotonic()
        marks = await self._mark(context)
        settle_s = float(context.phase.with_.get("settle_s", _DEFAULT_SETTLE_S))
        reading = Reading(context, cloud, revisions, context.phase.with_.get("severity"))
        await reading.begin()
        waiting = set(marks)
        await _read_all(context, reading, waiting, began, context.clock.monotonic() + settle_s)
        complete = bool(marks) and not waiting
        if complete:
            await read_errors_before(context, cloud)
        fact = context.stamp(LogsRead(entries=0, cursor=reading.cursor(), complete=complete))
        told = "complete" if complete else _why_not(marks, context.clock.monotonic() - began_s)
        entries = context.state().log_entries
        return PhaseResult(
            "ok",
            f"{entries} entr{'y' if entries == 1 else 'ies'}, {told}",
            {"entries": entries, "complete": complete},
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

    async def _mark(self, context: PhaseContext) -> list[str]:
        """Sends the marked requests and gives their traces. A revision that never got ready cannot be asked."""
        if context.state().failed_deploy is not None:
            return []
        return [await _marked(context, revision) for revision in context.state().revisions.values()]


def _why_not(marks: list[str], waited_s: float) -> str:
    if not marks:
        return "not known to be complete: a revision that never got ready answers no marked request"
    return f"not complete after {waited_s:.3g} s"


async def read_on(context: PhaseContext, cloud: Cloud, reading: Reading | None = None) -> Reading:
    """Stores what the revisions under test logged so far, while tests still run: then less is left to be read once they
    have ended. Costs a read each time; give it the `reading` of the last time. It proves nothing: `collect-logs` has
    the last word.
    """
    if reading is None:
        names = tuple(revision.name for revision in context.state().revisions.values())
        reading = Reading(context, cloud, names, ended=False)
        await reading.begin()
    await reading.sweep(set())
    return reading


async def _read_all(
    context: PhaseContext, reading: Reading, waiting: set[str], began: Beginning, give_up: float
) -> None:
    """Reads until the marks that are waited for were seen, or there is no more time: waiting for the limit of reads
    counts. Where entries came late, and wherever it is not our own cloud, all is read once more after the marks, there
    after a pause: until nothing new came. Once the marks were seen no page is given up, however long it takes.
    """
    try:
        await _until_seen(context, reading, waiting, began, give_up)
    except OutOfReads as error:
        await context.event(Noted(text=f"the marked request was not found within the time to settle: {error.detail}"))


async def _until_seen(
    context: PhaseContext, reading: Reading, waiting: set[str], began: Beginning, give_up: float
) -> None:
    clock = context.clock
    foreign = context.environment.cloud != "embedded"
    first = await reading.sweep(waiting, give_up)
    late = first.late or bool(waiting) or foreign
    pause_s, longest_s = _FIRST_PAUSE_S, max(_LONGEST_PAUSE_S, (give_up - clock.monotonic()) / _MOST_LOOKS)
    while waiting and (left_s := give_up - clock.monotonic()) > 0:
        await clock.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, longest_s)
        await reading.look_for(waiting, began.at() - _SKEW, give_up)
    if foreign and not waiting:
        await clock.sleep(max(0.0, min(_STRAGGLERS_S, give_up - clock.monotonic())))
    while late:
        found = await reading.sweep(waiting, give_up)
        late = found.late and not waiting and clock.monotonic() + _ONCE_MORE_S < give_up
        if late:
            await clock.sleep(_ONCE_MORE_S)


async def _marked(context: PhaseContext, revision: Revision) -> str:
    spec = context.spec.services.get(revision.service)
    probe = spec.startup_probe if spec is not None else None
    url = revision.url + (probe.path if probe else "/")
    trace_id = secrets.token_hex(16)
    status = await context.tools.request(url, trace_id)
    if status in _REFUSED and context.spec.auth:
        bearer = await token(context, context.scope())
        trace_id = secrets.token_hex(16)
        await context.tools.request(url, trace_id, bearer)
    return trace_id
