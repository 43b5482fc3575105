"""Finding the one test that `results --test` means, and reading all that is stored of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from netra_loop.core import loopfile
from netra_loop.core.records import Result
from netra_loop.core.stages import Stage, stages_of
from netra_loop.core.state import fold
from netra_loop.errors import LoopFileError, UsageError
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.report.one_test import OneTest
from netra_loop.report.safe import safe_line

_SHOWN = 12  # ids that a message lists
_BELOW = "\n  "


async def read_one_test(store: Journal, head: SessionHead, wanted: str, iteration: int | None) -> OneTest:
    """The test that `wanted`, an id or a part that only one has, means in `iteration` (None: in all of them).

    UsageError where there is none, more than one, or no result of it yet; it says which there are, and where.
    """
    attempts = await store.results(head.id, iteration, test=wanted)
    if not attempts:
        found = await _named(store, head, wanted, iteration)
        attempts = await store.results(head.id, iteration, test=found)
    iterations = sorted({item.iteration for item in attempts})
    selections = {number: await store.selection(head.id, number) for number in iterations}
    return OneTest(
        attempts=attempts,
        selected={
            number: item for number, chosen in selections.items() for item in chosen if item.id == attempts[0].id
        },
        of={number: len(chosen) for number, chosen in selections.items()},
        entries={number: await store.entries(head.id, number) for number in iterations},
        stages=await _stages(store, head),
    )


async def whys(store: Journal, head: SessionHead, found: Sequence[Result]) -> dict[tuple[int, str], str]:
    """Why each test was selected and where in the order, by iteration and id."""
    return {
        (number, item.id): item.reason
        for number in {result.iteration for result in found}
        for item in await store.selection(head.id, number)
    }


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
    ended: dict[int, set[str]] = defaultdict(set)
    for item in await store.results(head.id, bodies=False):
        ended[item.iteration].add(item.id)
    numbers = range(1, max(head.iteration, 1) + 1) if iteration is None else (iteration,)
    here = {number: await _standing(store, head, number, ended[number]) for number in numbers}
    ids = list(dict.fromkeys(one for known in here.values() for one in known))
    found = matching(ids, wanted)
    if found != [wanted]:  # else that very test may be of other iterations, and only parts of its id of this one
        others = sorted({*range(1, head.iteration + 1), *ended} - {*numbers})
        there = {number: await _standing(store, head, number, ended[number]) for number in others}
        known = list(dict.fromkeys(one for ids_of in there.values() for one in ids_of))
        if wanted in known or not found:
            raise _elsewhere(head, wanted, iteration, matching(known, wanted), there)
    if len(found) > 1:
        raise UsageError(
            f"--test {wanted!r} could mean {len(found)} tests:{_listed(found, each=_BELOW)}",
            hint="type more of the id",
        )
    if any(found[0] in ended[number] for number in numbers):
        return found[0]
    number = max(number for number, known in here.items() if found[0] in known)
    raise UsageError(
        f"there is no result yet of {_listed(found)} in iteration {number}: it {here[number][found[0]]}",
        hint=f"netra-loop status {head.id}",
    )


async def _standing(store: Journal, head: SessionHead, number: int, ended: Collection[str]) -> dict[str, str]:
    """How each test of an iteration stands, by its id; `ended` are those with a result."""
    chosen = {item.id: "is selected and has not begun" for item in await store.selection(head.id, number)}
    begun = {item.id: "was begun and has not ended" for item in await store.attempts(head.id, number)}
    return {**chosen, **begun, **dict.fromkeys(sorted(ended), "has ended")}


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


async def _stages(store: Journal, head: SessionHead) -> tuple[Stage, ...]:
    """The session's stages. None where its loop file is of another version, and says nothing to this one any more."""
    state = fold(await store.events(head.id))
    try:
        return stages_of(loopfile.load(state.loop_text, Path(f"{head.loop}.yaml")).stages)
    except LoopFileError:
        return ()


def _listed(ids: Sequence[str], each: str = "") -> str:
    shown = (each or ", ").join(safe_line(one) for one in ids[:_SHOWN])
    return each + (shown if len(ids) <= _SHOWN else f"{shown}{each or ' '}and {len(ids) - _SHOWN} more")
