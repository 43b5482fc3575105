"""Finding the one test that `results --test` means, and reading all that is stored of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from netra_loop.core import loopfile
from netra_loop.core.events import Recorded, TestsSelected
from netra_loop.core.records import Result
from netra_loop.core.stages import Stage, stages_of
from netra_loop.core.state import fold
from netra_loop.errors import LoopFileError, UsageError
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.report.one_test import OneTest
from netra_loop.report.safe import safe_line

_SHOWN = 12  # ids that a message lists
_AT_ONCE = 500  # tests whose selection is read at one time
_BELOW = "\n  "


async def read_one_test(store: Journal, head: SessionHead, wanted: str, iteration: int | None) -> OneTest:
    """The test that `wanted`, an id or a part that only one has, means in `iteration` (None: in all of them).

    UsageError where there is none, more than one, or no result of it yet; it says which there are, and where.
    """
    numbers = _numbers(head) if iteration is None else (iteration,)
    attempts = await _attempts(store, head, numbers, wanted)
    if not attempts:
        attempts = await _attempts(store, head, numbers, await _named(store, head, wanted, iteration))
    iterations = sorted({item.iteration for item in attempts})
    recorded = await store.events(head.id)
    return OneTest(
        attempts=attempts,
        selected={
            number: item
            for number in iterations
            for item in await store.selection(head.id, number, tests=[attempts[0].id])
        },
        of=_selected(recorded),
        entries={number: await store.entries(head.id, number) for number in iterations},
        stages=_stages(recorded, head),
    )


async def whys(store: Journal, head: SessionHead, found: Sequence[Result]) -> dict[tuple[int, str], str]:
    """Why each test was selected and where in the order, by iteration and id."""
    reasons = {}
    for number in {result.iteration for result in found}:
        ids = list(dict.fromkeys(result.id for result in found if result.iteration == number))
        for begin in range(0, len(ids), _AT_ONCE):
            for item in await store.selection(head.id, number, tests=ids[begin : begin + _AT_ONCE]):
                reasons[number, item.id] = item.reason
    return reasons


def matching(ids: Sequence[str], wanted: str) -> list[str]:
    """The ids that `wanted` may mean: that one; else those whose function or journey is called so; else those it is a
    part of.
    """
    if wanted in ids:
        return [wanted]
    called = [one for one in ids if wanted in {one.rpartition("::")[2], one.rpartition("::")[2].partition("[")[0]}]
    return called or [one for one in ids if wanted in one]


async def _named(store: Journal, head: SessionHead, wanted: str, iteration: int | None) -> str:
    """The id with a result that `wanted` means; UsageError where it is not one."""
    numbers = _numbers(head) if iteration is None else (iteration,)
    found = await _matching(store, head, numbers, wanted)
    if found != [wanted]:  # else that very test may be of other iterations, and only parts of its id of this one
        others = [number for number in _numbers(head) if number not in numbers]
        if not found or any([await _is_of(store, head, number, wanted) for number in others]):
            known = await _matching(store, head, others, wanted)
            there = {number: await _standing(store, head, number, known) for number in others}
            raise _elsewhere(head, wanted, iteration, known, there)
    if len(found) > 1:
        raise UsageError(
            f"--test {wanted!r} could mean {len(found)} tests:{_listed(found, each=_BELOW)}",
            hint="type more of the id",
        )
    if await _attempts(store, head, numbers, found[0]):
        return found[0]
    here = {number: await _standing(store, head, number, found) for number in numbers}
    number = max(number for number, known in here.items() if known)
    raise UsageError(
        f"there is no result yet of {_listed(found)} in iteration {number}: it {here[number][found[0]]}",
        hint=f"netra-loop status {head.id}",
    )


def _numbers(head: SessionHead) -> range:
    return range(1, max(head.iteration, 1) + 1)


async def _attempts(store: Journal, head: SessionHead, numbers: Iterable[int], test: str) -> list[Result]:
    return [result for number in numbers for result in await store.results(head.id, number, test=test)]


async def _matching(store: Journal, head: SessionHead, numbers: Iterable[int], wanted: str) -> list[str]:
    """The ids that `wanted` may mean in these iterations, in their own order."""
    ids = {one for number in numbers for one in await store.named(head.id, number, wanted)}
    return matching(sorted(ids), wanted)


async def _is_of(store: Journal, head: SessionHead, number: int, test: str) -> bool:
    """Whether the iteration knows a test of that very id."""
    selected = await store.selection(head.id, number, tests=[test])
    return bool(selected or await store.results(head.id, number, test=test, bodies=False))


async def _standing(store: Journal, head: SessionHead, number: int, tests: Sequence[str]) -> dict[str, str]:
    """How each of these tests stands in an iteration that knows of it, by its id."""
    known = {item.id: "is selected and has not begun" for item in await store.selection(head.id, number)}
    known |= {item.id: "was begun and has not ended" for item in await store.attempts(head.id, number)}
    known |= {item.id: "has ended" for item in await store.results(head.id, number, bodies=False)}
    return {test: known[test] for test in tests if test in known}


def _elsewhere(
    head: SessionHead, wanted: str, iteration: int | None, found: Sequence[str], there: Mapping[int, Mapping[str, str]]
) -> UsageError:
    """What is told of a test that the iteration asked for knows nothing of; `found` are those of others, `there`."""
    if not found:
        return UsageError(
            f"session {head.id!r} has no test {wanted!r}, expected an id or a part of one",
            hint=f"netra-loop results {head.id} --iteration all",
        )
    numbers = [number for number, known in there.items() if any(one in known for one in found)]
    return UsageError(
        f"iteration {iteration} of session {head.id!r} has no result of {_listed(found)}: "
        f"it is in iteration {', '.join(map(str, numbers))}",
        hint=f"netra-loop results {head.id} --test {wanted!r} --iteration {numbers[-1]}",
    )


def _selected(recorded: Iterable[Recorded]) -> dict[int, int]:
    """How many tests each iteration selected."""
    events = (item.event for item in recorded)
    return {event.iteration: event.selected for event in events if isinstance(event, TestsSelected)}


def _stages(recorded: Iterable[Recorded], head: SessionHead) -> tuple[Stage, ...]:
    """The session's stages. None where its loop file is of another version, and says nothing to this one any more."""
    state = fold(recorded)
    try:
        return stages_of(loopfile.load(state.loop_text, Path(f"{head.loop}.yaml")).stages)
    except LoopFileError:
        return ()


def _listed(ids: Sequence[str], each: str = "") -> str:
    shown = (each or ", ").join(safe_line(one) for one in ids[:_SHOWN])
    return each + (shown if len(ids) <= _SHOWN else f"{shown}{each or ' '}and {len(ids) - _SHOWN} more")
