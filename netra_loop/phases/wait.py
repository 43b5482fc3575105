"""`uses: wait`: goes on once somebody else has done something: a commit, a revision, or `netra-loop resume`."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from netra_loop.core import durations
from netra_loop.core.events import Noted, WaitBegan, Waited
from netra_loop.core.records import Batch
from netra_loop.core.state import Waiting
from netra_loop.errors import CloudCallFailed
from netra_loop.phases.awaited import Arrived, Note
from netra_loop.phases.awaited_commits import awaited_commit
from netra_loop.phases.awaited_revisions import awaited_revision
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.briefing import MARKDOWN, write_brief

_PERIOD_S = 10.0
RESUME = "resume"
_SOMEBODY = "somebody who resumes it"


class _Source(Protocol):
    """Where what is waited for comes from. `told` says what that is, behind the word "a"; `place` is the folder where a
    person may make it, "" where there is none.
    """

    told: str
    place: str

    async def known(self) -> dict[str, str]:
        """What there is now; see `WaitBegan.known`."""
        ...

    async def look(self, known: dict[str, str]) -> Arrived | Note | None:
        """What has come since; a note where it is not what was waited for. Asked again and again."""
        ...


class Wait:
    """Looks once in each period, and does nothing in between. What there was when it began is stored first, so that
    what comes while no process looks is seen by the next one at once.

    `timeout` counts from the beginning, pauses and all: by the monotonic clock within one process, by the wall clock
    across them. What has come by then is looked for once more before it is `failed`.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. `ok` once it came, `failed` at the time-out. Raises UsageError where what is waited for
        cannot come, such as a commit where there is no repository.
        """
        what = str(context.phase.with_["for"])
        if what == RESUME:
            await context.event(WaitBegan(what=what, told=_SOMEBODY, brief=await _brief(context)))
            return _paused(context)
        source = await _source(context, what)
        brief = await _brief(context) if what == "commit" else ""
        known = await source.known()
        began = WaitBegan(what=what, told=f"a {source.told}", known=known, place=source.place, brief=brief)
        await context.event(began)
        return await _until_it_comes(context, source)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`: goes on waiting. Waiting for `resume`, a pause that was stored makes this process the
        one that was waited for.
        """
        waiting = context.state().waiting
        if waiting is None:
            return await self.run(context)
        if waiting.began.what != RESUME:
            context.observer.progress(f"waits for {waiting.began.told}, since {waiting.since:%Y-%m-%d %H:%M:%S} UTC")
            return await _until_it_comes(context, await _source(context, waiting.began.what))
        return _resumed(context, waiting) if waiting.paused else _paused(context)


async def _source(context: PhaseContext, what: str) -> _Source:
    return await awaited_commit(context) if what == "commit" else await awaited_revision(context)


async def _brief(context: PhaseContext) -> str:
    """Where what is known of the findings is written for whoever is to mend them; "" where there are none."""
    if not await context.journal.findings(context.session):
        return ""
    folder = context.tools.folder / f"{context.iteration}-{context.phase.name}-{context.attempt}"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)  # whatever the umask
    await write_brief(context, folder)
    return str(folder / MARKDOWN)


async def _until_it_comes(context: PhaseContext, source: _Source) -> PhaseResult:
    waiting, clock = context.state().waiting, context.clock
    assert waiting is not None
    timeout_s = context.phase.with_.get("timeout_s")
    period_s = float(context.phase.with_.get("period_s", _PERIOD_S))
    left_s = context.spec.limits.duration_s - context.state().spent_s
    before_s, began = _since_s(waiting, clock.now()), clock.monotonic()
    noted: set[str] = set()
    while True:
        found = await _look(source, dict(waiting.began.known))
        here_s = clock.monotonic() - began
        waited = Waited(why=f"for a {source.told}", seconds=round(before_s + here_s, 3))
        if isinstance(found, Arrived):
            return _arrived(context, found, waited)
        if found is not None and found.key not in noted:
            noted.add(found.key)
            await context.event(Noted(text=context.redactor.text(found.text)))
        until_s = left_s - here_s
        if timeout_s is not None:
            until_s = min(until_s, float(timeout_s) - before_s - here_s)
        if until_s <= 0:
            used_up = timeout_s is None or left_s <= here_s
            why = "before the session's time was used up" if used_up else f"within {durations.show(timeout_s or 0.0)}"
            batch = Batch(events=(context.stamp(waited),))
            return PhaseResult("failed", f"no {source.told} came {why}", {}, batch)
        await clock.sleep(min(period_s, until_s))


async def _look(source: _Source, known: dict[str, str]) -> Arrived | Note | None:
    """A cloud that is away for a while is no reason to give up a wait of hours."""
    try:
        return await source.look(known)
    except CloudCallFailed as error:
        if not error.retryable:
            raise
        return Note(error.code, f"the cloud cannot be asked now, and is asked again: {error}")


def _arrived(context: PhaseContext, found: Arrived, waited: Waited) -> PhaseResult:
    events = (*map(context.stamp, found.events), context.stamp(waited))
    batch = Batch(events=events, findings=found.findings, findings_iteration=found.findings_iteration)
    return PhaseResult("ok", context.redactor.text(found.summary), found.facts, batch)


def _paused(context: PhaseContext) -> PhaseResult:
    return PhaseResult("", "", pauses=f"phase {context.phase.name!r} waits for {_SOMEBODY}")


def _resumed(context: PhaseContext, waiting: Waiting) -> PhaseResult:
    since_s, timeout_s = _since_s(waiting, context.clock.now()), context.phase.with_.get("timeout_s")
    waited = context.stamp(Waited(why=f"for {_SOMEBODY}", seconds=round(since_s, 3)))
    if timeout_s is not None and since_s > timeout_s:
        late = f"it was resumed after {durations.show(since_s)}, expected within {durations.show(timeout_s)}"
        return PhaseResult("failed", late, {}, Batch(events=(waited,)))
    return PhaseResult("ok", "resumed", {}, Batch(events=(waited,)))


def _since_s(waiting: Waiting, now: datetime) -> float:
    return max(0.0, (now - waiting.since).total_seconds())
