"""An iteration's results and log entries as `record` looks back on them: read in portions, little of each kept.

A result is judged with all its evidence at hand; after that only a failure keeps what its finding is made from. An
entry keeps what joining, vouching and findings ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from netra_loop.core.records import Authenticity, Evidence, LogEntry, Result
from netra_loop.core.symptoms import last_close, looked_at, symptom_of
from netra_loop.core.trace_lines import trace_text
from netra_loop.core.vouching import Vouching
from netra_loop.phases.base import PhaseContext

_AT_ONCE = 50  # tests whose results are read with their bodies
_NOTHING = Evidence()


async def assessed(context: PhaseContext, stored: Sequence[Result], entries: Sequence[LogEntry]) -> list[Result]:
    """`stored`, which came without bodies, in the light of the request log: who answered them, where they were seen to
    talk to nobody; and with the symptom that each shows now.
    """
    state = context.state()
    expected = frozenset(revision.name for revision in state.revisions.values())
    vouching = Vouching(entries, expected, complete=bool(state.logs_complete))
    seen = {(result.id, result.attempt): result for result in stored}
    ids = list(dict.fromkeys(result.id for result in stored))
    for begin in range(0, len(ids), _AT_ONCE):
        some = ids[begin : begin + _AT_ONCE]
        for whole in await context.journal.results(context.session, context.iteration, test=some):
            key = whole.id, whole.attempt
            seen[key] = _lean(seen[key], vouching.take(whole))
    perhaps = vouching.perhaps()
    told = (replace(result, **perhaps[key]) if key in perhaps else result for key, result in seen.items())
    return list(map(_named, told))


def _lean(bare: Result, whole: Result) -> Result:
    """`whole` without what no finding asks for. `bare`, the same without its body, is the answer where that will do."""
    if whole.outcome.is_failure:
        return replace(whole, output="", traceback=looked_at(whole.traceback))
    close = last_close(whole) if whole.authenticity is Authenticity.FAKE else None
    evidence = _NOTHING if close is None else Evidence(frames=(close,))
    if close is None and (whole.authenticity, whole.reasons) == (bare.authenticity, bare.reasons):
        return bare
    return replace(bare, authenticity=whole.authenticity, reasons=whole.reasons, evidence=evidence)


def _named(result: Result) -> Result:
    """`result` with the symptom it shows now; itself, not a copy, where that is the one it has."""
    symptom = symptom_of(result)
    return result if symptom is result.symptom else replace(result, symptom=symptom)


async def lean_entries(context: PhaseContext) -> list[LogEntry]:
    """The iteration's entries by time, without what nobody looks at."""
    requests: dict[tuple[Any, ...], dict[str, Any]] = {}
    pages = context.journal.entry_pages(context.session, context.iteration)
    return [_lean_entry(entry, requests) async for page in pages for entry in page]


def _lean_entry(entry: LogEntry, requests: dict[tuple[Any, ...], dict[str, Any]]) -> LogEntry:
    """A request that did not fail keeps its status and who asked, kept once in `requests` for all that are alike; a
    payload without a stack trace is one all the same, and empty.
    """
    request = entry.request
    if request is not None:
        status, agent = request.get("status"), request.get("user_agent")
        if not isinstance(status, int) or status < 500:
            request = requests.setdefault((status, agent), {"status": status, "user_agent": agent})
    payload = entry.payload
    if payload is not None and not trace_text(entry):
        payload = {}
    return replace(entry, request=request, payload=payload)


def judged_anew(before: Sequence[Result], after: Sequence[Result]) -> tuple[Result, ...]:
    """The results of `after` that are judged otherwise than `before`, which is in the same order."""
    pairs = zip(before, after, strict=True)
    return tuple(new for old, new in pairs if new is not old and _judgement(new) != _judgement(old))


def _judgement(result: Result) -> tuple[Any, ...]:
    return result.authenticity, result.reasons, result.symptom


def joined_anew(before: Sequence[LogEntry], after: Sequence[LogEntry]) -> tuple[LogEntry, ...]:
    """The entries of `after` that belong to a test that they were not known to belong to in `before`."""
    known = {(entry.log, entry.timestamp, entry.insert_id): entry.tests for entry in before if entry.tests}
    return tuple(
        entry
        for entry in after
        if not set(entry.tests) <= set(known.get((entry.log, entry.timestamp, entry.insert_id), ()))
    )
