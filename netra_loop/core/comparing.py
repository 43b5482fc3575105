"""What it means that a test was run at the same moment against two revisions: the one under test and the one before.

    before   now      after a failure just now              after a pass just now (a fixer claims it)
    red      green    fixed (it does not fail any more)     fixed
    red      red      not fixed                             not fixed
    green    green    flake, or a sick environment          flake, or a sick environment
    green    red      regression                            regression

A side that cannot be judged (the test was skipped, did not run, or passed without talking to the revision) is neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from netra_loop.core.records import Authenticity, Outcome, Result

_GREEN = frozenset({Outcome.PASSED, Outcome.XPASSED})


class Comparison(StrEnum):
    """What one test's two runs say."""

    FIXED = "fixed"
    NOT_FIXED = "not-fixed"
    FLAKE = "flake"
    ENVIRONMENT = "environment"
    REGRESSION = "regression"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Compared:
    """One test, and how it ended on either side; None: it did not run there to its end. `told` is the message of a
    side that failed, the newer one's where both did.
    """

    test: str
    before: Outcome | None
    now: Outcome | None
    verdict: Comparison
    told: str = ""

    def row(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "test": self.test,
            "before": None if self.before is None else self.before.value,
            "now": None if self.now is None else self.now.value,
            "verdict": self.verdict.value,
            "told": self.told,
        }


def from_row(row: Mapping[str, Any]) -> Compared:
    """The reverse of `Compared.row`."""
    before, now = (None if row[side] is None else Outcome(row[side]) for side in ("before", "now"))
    return Compared(row["test"], before, now, Comparison(row["verdict"]), row["told"])


def compare(
    tests: Sequence[str],
    before: Mapping[str, Result],
    now: Mapping[str, Result],
    *,
    of_environment: frozenset[str] = frozenset(),
) -> list[Compared]:
    """A verdict for each of `tests` in their order. `before` and `now` are the last attempts on either side;
    `of_environment` are the tests whose failure just now looked like one of the environment: refused, DNS, 503.
    """
    return [_one(test, before.get(test), now.get(test), of_environment=test in of_environment) for test in tests]


def _one(test: str, before: Result | None, now: Result | None, *, of_environment: bool) -> Compared:
    then, since = _is_green(before), _is_green(now)
    failed = now if since is False else before if then is False else None
    return Compared(
        test,
        None if before is None else before.outcome,
        None if now is None else now.outcome,
        _verdict(then, since, of_environment=of_environment),
        (failed.message or "") if failed is not None else "",
    )


def _verdict(before: bool | None, now: bool | None, *, of_environment: bool) -> Comparison:
    match before, now:
        case False, True:
            return Comparison.FIXED
        case False, False:
            return Comparison.NOT_FIXED
        case True, True:
            return Comparison.ENVIRONMENT if of_environment else Comparison.FLAKE
        case True, False:
            return Comparison.REGRESSION
        case _:
            return Comparison.UNKNOWN


def _is_green(result: Result | None) -> bool | None:
    """Whether it passed, for real; None where that cannot be told."""
    if result is None or result.authenticity is Authenticity.FAKE:
        return None
    if result.outcome.is_failure:
        return False
    return True if result.outcome in _GREEN else None
