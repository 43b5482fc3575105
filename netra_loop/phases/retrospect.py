"""An iteration's results and log entries as `record` looks back on them: read in portions, little of each kept.

A result is judged with all its evidence at hand; after that only a failure keeps what its finding is made from. Of the
entries only what vouching and findings ask for is kept (`core.log_review`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from netra_loop.core.collecting import uncollected
from netra_loop.core.error_groups import MOST_GROUPS, compared
from netra_loop.core.events import ErrorsGrouped
from netra_loop.core.goal import was_moved
from netra_loop.core.joining import footprint
from netra_loop.core.log_review import Review
from netra_loop.core.records import Authenticity, Batch, Evidence, LogEntry, Result
from netra_loop.core.symptoms import last_close, looked_at, symptom_of
from netra_loop.core.vouching import Vouching
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.errors_before import errors_before
from netra_loop.phases.known import sources

_AT_FIRST = 50  # tests whose results are read with their bodies at one time; more where those before held little
_AT_ONCE = 200
_LITTLE = 500_000  # characters
_OF_ONE_ITEM = 500  # characters that an exchange or a frame stands for
_PAGE = 1000  # entries that are read at one time
_NOTHING = Evidence()
_PLACE = Result.__slots__.index("symptom")
_BEFORE, _BEHIND = attrgetter(*Result.__slots__[:_PLACE]), attrgetter(*Result.__slots__[_PLACE + 1 :])


async def assessed(context: PhaseContext, stored: Sequence[Result], requests: Sequence[LogEntry]) -> list[Result]:
    """`stored`, which came without bodies, in the light of the request log: who answered them, where they were seen to
    talk to nobody; and with the symptom that each shows now. `requests` are those of the attempts' own traces.
    """
    state = context.state()
    expected = frozenset(revision.name for revision in state.revisions.values())
    vouching = Vouching(requests, expected, complete=bool(state.logs_complete))
    seen = {(result.id, result.attempt): result for result in stored}
    asked = stored if vouching.asks_for_evidence else filter(_keeps_any, stored)
    async for whole in _wholes(context, list(dict.fromkeys([one.id for one in asked]))):
        key = whole.id, whole.attempt
        seen[key] = _lean(seen[key], vouching.take(whole))
    strange: list[LogEntry] = []
    if vouching.asks_for_more():
        pages = context.journal.entry_pages(context.session, context.iteration)
        strange = [replace(entry, payload=None) async for page in pages for entry in page if vouching.is_strange(entry)]
    perhaps = vouching.perhaps(strange)
    told = (replace(result, **perhaps[key]) if key in perhaps else result for key, result in seen.items())
    return list(map(_named, told))


async def _wholes(context: PhaseContext, tests: Sequence[str]) -> AsyncIterator[Result]:
    """The results of these tests with their bodies, few of which are held at once where they are large."""
    begin, size = 0, _AT_FIRST
    while begin < len(tests):
        some = await context.journal.results(context.session, context.iteration, test=tests[begin : begin + size])
        begin += size
        size = min(2 * size, _AT_ONCE) if sum(map(_weight, some)) < _LITTLE else _AT_FIRST
        for whole in some:
            yield whole


def _weight(result: Result) -> int:
    evidence = result.evidence
    items = len(evidence.exchanges) + len(evidence.frames)
    return len(result.output) + len(result.traceback) + _OF_ONE_ITEM * items


def _keeps_any(result: Result) -> bool:
    """Whether `_lean` may keep anything of its body."""
    return result.outcome.is_failure or result.authenticity is Authenticity.FAKE


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
    if symptom is result.symptom:
        return result
    fields: tuple[Any, ...] = (*_BEFORE(result), symptom, *_BEHIND(result))
    return Result(*fields)  # a third of the time of `replace`


async def reviewed(context: PhaseContext, stored: Sequence[Result]) -> Review:
    """The iteration's entries, looked at once in the order of time. What is learned of the tests that an entry belongs
    to is stored page by page: it only adds, so doing it again after a crash changes nothing.
    """
    uncounted = frozenset(result.trace_id for result in stored if was_moved(result))
    review = Review((), sources(context), uncounted)
    pages = context.journal.entry_pages(context.session, context.iteration, _PAGE, lean=True, quiet=False)
    async for page in pages:
        if not review.total:  # there is something to be joined to them
            review = Review([footprint(result) for result in stored], review.sources, uncounted)
        with uncollected():
            joined = [new for old in page if (new := review.take(old)) is not old and new.tests != old.tests]
        if joined:
            await context.record(Batch(joined=tuple(joined)))
    if not review.total:
        review.total = len(await context.journal.entries(context.session, context.iteration, limit=1))
    return review


async def errors_grouped(context: PhaseContext, review: Review) -> ErrorsGrouped | None:
    """The errors that the logs show, held against those of the revision before; None where no log was read."""
    revisions = {service: revision.name for service, revision in context.state().revisions.items()}
    if not revisions or context.state().logs_complete is None:
        return None
    groups = review.groups.groups()
    before = await errors_before(context) if groups else {}
    rows = [group.row() for group in compared(groups, before)]
    others: dict[str, list[str]] = {}
    for group in groups[MOST_GROUPS:]:
        others.setdefault(group.service, []).append(group.signature)
    return ErrorsGrouped(
        groups=tuple(rows[:MOST_GROUPS]),
        others=others,
        revisions=revisions,
        complete=bool(context.state().logs_complete),
    )


def new_errors(errors: ErrorsGrouped | None) -> dict[str, str]:
    """The signatures of the groups that are new, each with the revision that did not have it."""
    rows = errors.groups if errors is not None else ()
    return {str(row["signature"]): str(row["before"]) for row in rows if row["new"]}


def judged_anew(before: Sequence[Result], after: Sequence[Result]) -> tuple[Result, ...]:
    """The results of `after` that are judged otherwise than `before`, which is in the same order."""
    pairs = zip(before, after, strict=True)
    return tuple(new for old, new in pairs if new is not old and _judgement(new) != _judgement(old))


def _judgement(result: Result) -> tuple[Any, ...]:
    return result.authenticity, result.reasons, result.symptom
