"""When going on as before has shown to lead nowhere: the same findings again and again, or one that comes and goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from netra_loop.core.records import Outcome, Verdict

_SHOWN = 3
_TITLE = 120  # characters


class Past(Protocol):
    """An earlier iteration's verdict, oldest first in every history. `counts` may be empty: not known."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def signatures(self) -> frozenset[str]: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...
    @property
    def iteration(self) -> int: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


@dataclass(frozen=True)
class Round:
    """An iteration that was unmet: the signatures of its open findings, and what its tests came to. `number` 0: not
    known; so where `counts` is empty.
    """

    number: int
    signatures: frozenset[str]
    counts: Mapping[str, int]

    def is_better_than(self, other: Round) -> bool:
        """Fewer tests fail, and more pass: tests that are skipped now, or gone, are no progress."""
        known = bool(self.counts and other.counts)
        return known and self._failing < other._failing and self._passing > other._passing

    @property
    def _failing(self) -> int:
        return sum(self.counts[outcome.value] for outcome in Outcome if outcome.is_failure) + self.counts["fake"]

    @property
    def _passing(self) -> int:
        return self.counts[Outcome.PASSED.value] + self.counts[Outcome.XPASSED.value] - self.counts["fake"]


def why_stuck(rounds: Sequence[Round], no_progress: int, titles: Mapping[str, str]) -> str | None:
    """Why there is no use in another iteration, for a sentence behind the word `stuck`; None where there may be.
    `rounds` are newest first and not empty; `titles` says what a signature stands for. `no_progress` 0: never.
    """
    if no_progress <= 0:
        return None
    now = rounds[0]
    row = list(takewhile(lambda one: one.signatures == now.signatures, rounds))
    same = _without_progress(row)
    if len(same) >= max(2, no_progress):  # one iteration alone cannot show that nothing moved
        what = "the same findings" if now.signatures else "unmet without a finding that could be mended,"
        return f"{what} in {len(same)} iterations{_numbers(same)}{_named(now.signatures, titles)}"
    if len(rounds) > 2 and _came_back(rounds):
        gone, then = rounds[1], rounds[2]
        where = f" (there in iteration {then.number}, gone in {gone.number}, there in {now.number})"
        back = _named(then.signatures - gone.signatures, titles)
        return f"what was gone an iteration ago is back{where if then.number else ''}{back}"
    return None


def _without_progress(row: Sequence[Round]) -> list[Round]:
    """Of iterations with the same findings, newest first, those since fewer tests failed than ever before in the row,
    that one among them; oldest first.
    """
    since: list[Round] = []
    best: Round | None = None
    for one in reversed(row):
        if best is None or one.is_better_than(best):
            best, since = one, []
        since.append(one)
    return since


def _came_back(rounds: Sequence[Round]) -> bool:
    """Whether all that was open two iterations ago is open now, and something of it was gone in between."""
    now, between, before = (one.signatures for one in rounds[:3])
    return bool(before) and before <= now and not before <= between


def _numbers(rounds: Sequence[Round]) -> str:
    return f" ({', '.join(str(one.number) for one in rounds)})" if all(one.number for one in rounds) else ""


def _named(signatures: Iterable[str], titles: Mapping[str, str]) -> str:
    told = [titles.get(one, one)[:_TITLE] for one in sorted(signatures)]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return f": {'; '.join(told[:_SHOWN])}{more}" if told else ""
