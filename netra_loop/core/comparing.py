"""What it means that a test was run at the same moment against two revisions: the one under test and the one before.

    before   now      after a failure just now              after a pass just now (a fixer claims it)
    red      green    fixed (it does not fail any more)     fixed
    red      red      not fixed                             not fixed
    green    green    flake, or a sick environment          flake: it passes without the fix, too
    green    red      regression                            regression

Where both are red, and both failures the environment's own (refused, 503), neither revision was seen to do anything:
that is not judged. Where only one is, the other shows at the same moment that the environment is well.

The environment was sick where at least half of what was compared passes on both sides, for those of them whose failure
looked like the environment's. A side that cannot be judged is neither red nor green: the test was skipped, did not
run, passed without talking to the revision, or was answered by another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from netra_loop.core.records import Authenticity, Cause, Outcome, Result
from netra_loop.core.symptoms import look_at

_GREEN = frozenset({Outcome.PASSED, Outcome.XPASSED})
_SHOWN = 3
_LONGEST = 500  # characters of a message


class Comparison(StrEnum):
    """What one test's two runs say."""

    FIXED = "fixed"
    NOT_FIXED = "not-fixed"
    FLAKE = "flake"
    ENVIRONMENT = "environment"
    REGRESSION = "regression"
    UNKNOWN = "unknown"


WORDS = {
    Comparison.FIXED: "fixed",
    Comparison.NOT_FIXED: "not fixed",
    Comparison.FLAKE: "flaky",
    Comparison.ENVIRONMENT: "of a sick environment",
    Comparison.REGRESSION: "regressed",
    Comparison.UNKNOWN: "not judged",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One test, and how it ended on either side; None: it did not run there to its end. `told` is the message of a
    side that failed, the newer one's where both did, or why it cannot be judged.
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
    doubts: Mapping[str, str] | None = None,
) -> list[Compared]:
    """A verdict for each of `tests` in their order. `before` and `now` are the attempts on either side;
    `of_environment` are the tests whose failure just now looked like one of the environment: refused, DNS, 503.
    `doubts` say why a test cannot be judged, though it ran.
    """
    known = doubts or {}
    table = {test: _verdict(test, before, now, known) for test in tests}
    judged = [verdict for verdict in table.values() if verdict is not Comparison.UNKNOWN]
    sick = 2 * judged.count(Comparison.FLAKE) >= len(judged)
    rows = []
    for test, verdict in table.items():
        ill = sick and verdict is Comparison.FLAKE and test in of_environment
        told = _told(before.get(test), now.get(test)) if verdict is not Comparison.UNKNOWN else known.get(test)
        rows.append(
            Compared(
                test,
                _outcome(before.get(test)),
                _outcome(now.get(test)),
                Comparison.ENVIRONMENT if ill else verdict,
                _unknown(before.get(test), now.get(test)) if told is None else told,
            )
        )
    return rows


def sick_now(before: Mapping[str, Result], now: Mapping[str, Result]) -> dict[str, str]:
    """The tests that the environment itself let fail on both sides, with what to say of them."""
    told = {}
    for test in before.keys() & now.keys():
        looks = [look_at(side[test]) for side in (before, now) if side[test].outcome.is_failure]
        sick = [look for look in looks if look is not None and look.cause is Cause.ENVIRONMENT]
        if len(sick) == len((before, now)):
            told[test] = f"the environment let it fail on both sides: {sick[-1].short}"
    return told


def summary(rows: Sequence[Compared]) -> str:
    """How many of each verdict there are, what got worse by name, and the first that could not be judged with why."""
    counts = Counter(row.verdict for row in rows)
    told = [f"{counts[verdict]} {words}" for verdict, words in WORDS.items() if counts[verdict]]
    regressed = [row.test for row in rows if row.verdict is Comparison.REGRESSION]
    if regressed:
        more = f" and {len(regressed) - _SHOWN} more" if len(regressed) > _SHOWN else ""
        told.append(f"regressions: {', '.join(regressed[:_SHOWN])}{more}")
    unknown = next((row for row in rows if row.verdict is Comparison.UNKNOWN), None)
    if unknown is not None:
        told.append(f"not judged: {unknown.test}: {unknown.told}")
    return "; ".join([", ".join(told[: len(counts)]), *told[len(counts) :]])


def _verdict(
    test: str, before: Mapping[str, Result], now: Mapping[str, Result], doubts: Mapping[str, str]
) -> Comparison:
    then, since = (None if test in doubts else _is_green(side.get(test)) for side in (before, now))
    match then, since:
        case False, True:
            return Comparison.FIXED
        case False, False:
            return Comparison.NOT_FIXED
        case True, True:
            return Comparison.FLAKE
        case True, False:
            return Comparison.REGRESSION
        case _:
            return Comparison.UNKNOWN


def _told(before: Result | None, now: Result | None) -> str:
    failed = next((side for side in (now, before) if side is not None and side.outcome.is_failure), None)
    return (failed.message or "")[:_LONGEST] if failed is not None else ""


def _unknown(before: Result | None, now: Result | None) -> str:
    sides = (("the revision before", before), ("the revision under test", now))
    return next((f"{_silence(side)} against {name}" for name, side in sides if _is_green(side) is None), "")


def _silence(side: Result | None) -> str:
    if side is None:
        return "did not run"
    if side.authenticity is Authenticity.FAKE:
        return f"passed without being seen to talk to it ({', '.join(side.reasons[:1])}),"
    return f"was {side.outcome.value}"


def _outcome(side: Result | None) -> Outcome | None:
    return None if side is None else side.outcome


def _is_green(result: Result | None) -> bool | None:
    """Whether it passed, for real; None where that cannot be told."""
    if result is None or result.authenticity is Authenticity.FAKE:
        return None
    if result.outcome.is_failure:
        return False
    return True if result.outcome in _GREEN else None
