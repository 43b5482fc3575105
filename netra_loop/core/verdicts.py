"""What a comparison of two revisions (`comparing`) makes of an iteration's findings, its results and its stability.

It has the last word on the state of a finding only where it looked at all that the finding rests on: one red test that
was left out may stand for anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from netra_loop.core.comparing import WORDS, Compared, Comparison
from netra_loop.core.records import Cause, Finding, FindingState, Result
from netra_loop.core.stability import Stability, Stood
from netra_loop.values import dataclass

_MARK = "compared: "  # begins the reason of a result that was compared
_MINDED = {Comparison.FLAKE, Comparison.ENVIRONMENT}
_SAYS = {
    Comparison.FIXED: "it passes now, and fails against {before} at the same moment",
    Comparison.NOT_FIXED: "it fails against {before} at the same moment, too",
    Comparison.FLAKE: "it passes now, and against {before} at the same moment, too",
    Comparison.ENVIRONMENT: "a moment later it passes, and against {before}, too: the environment was sick",
    Comparison.REGRESSION: "it passes against {before} at the same moment, and fails against {now}",
    Comparison.UNKNOWN: "{told}",
}


@dataclass(frozen=True)
class Verdicts:
    """The rows of one comparison by test; `before` and `now` are the short names of the revisions."""

    rows: Mapping[str, Compared]
    before: str
    now: str

    @classmethod
    def of(cls, rows: Sequence[Compared], before: str, now: str) -> Verdicts:
        """The rows as they were stored."""
        return cls({row.test: row for row in rows}, before, now)

    def tests(self, verdict: Comparison) -> list[str]:
        """The tests that came to `verdict`, in the order of the rows."""
        return [row.test for row in self.rows.values() if row.verdict is verdict]

    def sick(self) -> frozenset[str]:
        """The tests whose failure is the environment's."""
        return frozenset(self.tests(Comparison.ENVIRONMENT))

    # -------------------------------------------------------------------------------------------------- findings

    def of_findings(self, findings: Sequence[Finding]) -> list[Finding]:
        """`findings` of the iteration, those that are gone among them, as the comparison shows them."""
        return [self._finding(one) for one in findings]

    def proves_nothing_of(self, finding: Finding) -> bool:
        """Whether a claim to have mended it can be neither verified nor refuted: its tests pass without that, too."""
        told = self._told(finding)
        return bool(told) and set(told) <= {*_MINDED, Comparison.UNKNOWN} and not _MINDED.isdisjoint(told)

    def _told(self, finding: Finding) -> list[Comparison]:
        return [self.rows[test].verdict for test in finding.tests if test in self.rows]

    def _finding(self, finding: Finding) -> Finding:
        counts = Counter(self._told(finding))
        if not counts:
            return finding
        whys = (*finding.whys, self._why(counts, len(finding.tests)))
        told = replace(finding, whys=whys)
        red = counts[Comparison.NOT_FIXED], counts[Comparison.REGRESSION]
        if red[1] > red[0]:
            return replace(told, state=FindingState.REGRESSED)
        if red[0]:
            gone = finding.state is FindingState.FIXED
            return replace(told, state=FindingState.PERSISTING) if gone else told
        if counts[Comparison.UNKNOWN] or sum(counts.values()) < len(finding.tests):
            return told
        if counts[Comparison.ENVIRONMENT]:
            cause = Cause.ENVIRONMENT if 2 * counts[Comparison.ENVIRONMENT] >= counts.total() else finding.cause
            return replace(told, cause=cause)
        return replace(told, state=FindingState.FIXED if counts[Comparison.FIXED] else FindingState.FLAKY)

    def _why(self, counts: Counter[Comparison], tests: int) -> str:
        first = next(verdict for verdict in _SAYS if counts[verdict])
        if counts[first] == tests and first is not Comparison.UNKNOWN:
            each = "" if tests == 1 else f"each of its {tests} tests: "
            return f"{_MARK}{each}{self._says(first)}"
        shares = (f"{counts[verdict]} {WORDS[verdict]}" for verdict in _SAYS if counts[verdict])
        many = f"of its {tests} tests" if tests > 1 else "its test"
        return f"{_MARK}{many}, at the same moment against {self.before}: {', '.join(shares)}"

    def _says(self, verdict: Comparison, told: str = "") -> str:
        return _SAYS[verdict].format(before=self.before, now=self.now, told=told)

    # -------------------------------------------------------------------------------------------------- results

    def of_results(self, results: Sequence[Result]) -> list[Result]:
        """`results` in their order; the last attempt at each test that was compared says so among its reasons. What an
        earlier comparison said is gone.
        """
        last: dict[str, int] = {}
        for result in results if self.rows else ():
            last[result.id] = max(last.get(result.id, 0), result.attempt)
        return [self._result(result, is_last=result.attempt == last.get(result.id)) for result in results]

    def _result(self, result: Result, *, is_last: bool) -> Result:
        row = self.rows.get(result.id) if is_last else None
        if row is None and not result.reasons:
            return result
        said = () if row is None else (f"{_MARK}{_short(row.verdict)}: {self._says(row.verdict, row.told)}",)
        reasons = (*[one for one in result.reasons if not one.startswith(_MARK)], *said)
        return result if reasons == result.reasons else replace(result, reasons=reasons)

    # -------------------------------------------------------------------------------------------------- stability

    def of_stability(self, stability: Stability, final: Mapping[str, Result]) -> Stability:
        """A failure that is a flake, or the environment's, is no regression; what passes against the revision before
        and fails now is one, whatever else is known. `final` are the iteration's results that count.
        """
        minded = {row.test for row in self.rows.values() if row.verdict in _MINDED}
        regressed = {test: stood for test, stood in stability.regressed.items() if test not in minded}
        for test in self.tests(Comparison.REGRESSION):
            outcome = self.rows[test].before
            assert outcome is not None  # it passed
            regressed.setdefault(test, Stood(0, outcome, self.before))
        unproven = [
            test for test in self.tests(Comparison.NOT_FIXED) if test in final and not final[test].outcome.is_failure
        ]
        return replace(stability, regressed=regressed, unproven=tuple(unproven))


def _short(verdict: Comparison) -> str:
    return {Comparison.NOT_FIXED: "not fixed", Comparison.UNKNOWN: "not judged"}.get(verdict, verdict.value)
