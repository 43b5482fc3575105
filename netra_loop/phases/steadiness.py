"""What stood better before in this session: read from the journal for the few tests that do not stand well now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netra_loop.core.goal import final_results, was_moved
from netra_loop.core.records import Authenticity, Outcome, Result, Selected
from netra_loop.core.stability import Stability, Stood, weigh
from netra_loop.phases.base import PhaseContext

_AT_ONCE = 500
_PASSES = frozenset({Outcome.PASSED, Outcome.XPASSED})


async def steadiness(context: PhaseContext, selected: Sequence[Selected], final: Mapping[str, Result]) -> Stability:
    """How this iteration stands against all before it, as far as the loop file was the same: whoever changes that by
    hand, and resumes, means it.
    """
    state = context.state()
    first = state.loop_since
    if context.iteration <= first:
        return Stability({}, {})
    required = context.spec.goal.authenticity == "required"
    unwell = [test for test, result in final.items() if not _is_well(result, required=required)]
    before = await _stood(context, unwell, first, required=required)
    begun = [one.id for one in await context.journal.selection(context.session, first)]
    full = state.selection is not None and state.selection.full
    return weigh(final, before, begun, [one.id for one in selected], full=full, fakes_fail=required)


def _is_well(result: Result, *, required: bool) -> bool:
    return result.outcome in _PASSES and not (required and result.authenticity is Authenticity.FAKE)


async def _stood(context: PhaseContext, tests: Sequence[str], first: int, *, required: bool) -> dict[str, Stood]:
    """How each of `tests` stood when it last said something: a pass, if it was ever seen to pass."""
    stood: dict[str, Stood] = {}
    asked = list(tests)
    for iteration in range(context.iteration - 1, first - 1, -1):
        for begin in range(0, len(asked), _AT_ONCE):
            some = asked[begin : begin + _AT_ONCE]
            results = await context.journal.results(context.session, iteration, test=some, bodies=False)
            for test, result in final_results(results).items():
                if was_moved(result):
                    continue  # it said nothing
                if _is_well(result, required=required) or test not in stood:
                    fake = required and result.authenticity is Authenticity.FAKE
                    stood[test] = Stood(iteration, result.outcome, result.revision, fake)
        asked = [test for test in asked if test not in stood or not stood[test].passed]
        if not asked:
            break
    return stood
