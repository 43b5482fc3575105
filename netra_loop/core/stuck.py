"""When going on as before has shown to lead nowhere: the same findings again and again, or one that comes and goes.

A signature alone does not make two findings the same: different tests may fail in one manner, one after the other was
mended. They also have a test in common, where the tests of both are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from netra_loop.core.records import Outcome, Verdict

_SHOWN = 3
_TITLE = 120  # characters


class Past(Protocol):
    """An earlier iteration's verdict, oldest first in every history. `counts` may be empty: not known."""

    @property
    def verdict(self) -> Verdict:
        """How it was judged."""
        ...

    @property
    def signatures(self) -> frozenset[str]:
        """Those of the findings that were open at its end."""
        ...

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was judged so; never empty."""
        ...

    @property
    def iteration(self) -> int:
        """Its number, from 1."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Its tests by outcome and mark, as `status` counts them."""
        ...


@dataclass(frozen=True)
class Round:
    """An iteration that was unmet: the signatures of its open findings, what its tests came to, and by signature the
    tests of those findings. `number` 0: not known; so where `counts` is empty, or no test is named.
    """

    number: int
    signatures: frozenset[str]
    counts: Mapping[str, int]
    tests: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def is_better_than(self, other: Round) -> bool:
        """Fewer tests fail, and more pass: tests that are skipped now, or gone, are no progress."""
        known = bool(self.counts and other.counts)
        return known and self._failing < other._failing and self._passing > other._passing

    def has(self, signature: str, of: Round) -> bool:
        """Whether the finding with that signature that `of` has was open here as well."""
        here, there = self.tests.get(signature), of.tests.get(signature)
        return signature in self.signatures and not (here and there and here.isdisjoint(there))

    def is_like(self, other: Round) -> bool:
        """Whether both have the same findings."""
        return self.signatures == other.signatures and all(self.has(one, other) for one in self.signatures)

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
    row = list(takewhile(now.is_like, rounds))
    same = _without_progress(row)
    if len(same) >= max(2, no_progress):  # one iteration alone cannot show that nothing moved
        what = "the same findings" if now.signatures else "unmet without a finding that could be mended,"
        return f"{what} in {len(same)} iterations{_numbers(same)}{_named(now.signatures, titles)}"
    back = _come_back(rounds)
    if back:
        gone, then = rounds[1], rounds[2]
        where = f" (there in iteration {then.number}, gone in {gone.number}, there in {now.number})"
        return f"what was gone an iteration ago is back{where if then.number else ''}{_named(back, titles)}"
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


def _come_back(rounds: Sequence[Round]) -> list[str]:
    """What was open two iterations ago and gone in between, where all that was open then is open now; else nothing."""
    if len(rounds) < 3:
        return []
    now, between, before = rounds[:3]
    if not all(now.has(one, before) for one in before.signatures):
        return []
    return [one for one in before.signatures if not between.has(one, before)]


def _numbers(rounds: Sequence[Round]) -> str:
    return f" ({', '.join(str(one.number) for one in rounds)})" if all(one.number for one in rounds) else ""


def _named(signatures: Iterable[str], titles: Mapping[str, str]) -> str:
    told = [titles.get(one, one)[:_TITLE] for one in sorted(signatures)]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return f": {'; '.join(told[:_SHOWN])}{more}" if told else ""
