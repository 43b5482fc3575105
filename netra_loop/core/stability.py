"""What passed before and does not now: failures of the fix's own making, and tests that were made to say nothing.

A fix that breaks something else, skips a test, expects its failure or makes it vanish from the collection is seen here
whatever way it went about it, since it is told by what the tests did.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from netra_loop.core.records import Authenticity, Outcome, Result
from netra_loop.values import dataclass

_PASSES = frozenset({Outcome.PASSED, Outcome.XPASSED})
_SILENT = frozenset({Outcome.SKIPPED, Outcome.XFAILED})
_SHOWN = 3
TAMPERED = "what is sealed was changed, and by no commit: "  # begins the reason of an iteration where it was


@dataclass(frozen=True, slots=True)
class Stood:
    """How a test stood when it was last seen to say something: the iteration (0: in none, when it was compared), how it
    ended, against which revision. `fake`: it only seemed to pass, where that counts as a failure.
    """

    iteration: int
    outcome: Outcome
    revision: str | None
    fake: bool = False

    @property
    def passed(self) -> bool:
        """Whether it was seen to pass."""
        return self.outcome in _PASSES and not self.fake

    @property
    def where(self) -> str:
        """When that was, and against which revision."""
        against = "" if self.revision is None else f" against {self.revision}"
        return f"in iteration {self.iteration}{against}" if self.iteration else against.strip()


@dataclass(frozen=True)
class Stability:
    """What changed for the worse, each with how it stood before. `regressed` passed and fail now; `silenced` ran and
    are skipped, or expected to fail, now; `vanished` were selected in this session and are not collected any more;
    `unproven` passed in this iteration, and failed when they were compared with the revision before, which fails them.
    """

    regressed: Mapping[str, Stood]
    silenced: Mapping[str, Stood]
    vanished: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()

    def told(self, most: int = 50) -> dict[str, str]:
        """Of each regression how it stood before, of the first `most`."""
        return {test: f"passed {stood.where}, fails now" for test, stood in list(self.regressed.items())[:most]}

    def reasons(self, *, allow_regressions: bool) -> list[str]:
        """Why the goal cannot be called met; empty where nothing changed for the worse."""
        told = []
        if self.regressed and not allow_regressions:
            told.append(
                f"{_many(self.regressed)} passed before and {_fail(self.regressed)} now: {_some(self.regressed)}"
            )
        if self.silenced:
            told.append(
                f"{_many(self.silenced)} ran before and {_be(self.silenced)} skipped now: {_some(self.silenced)}"
            )
        if self.vanished:
            told.append(f"{_many(self.vanished)} of this session {_be(self.vanished)} gone: {_some(self.vanished)}")
        if self.unproven:
            told.append(
                f"{_many(self.unproven)} passed, and {_fail(self.unproven)} like before when compared: "
                f"{_some(self.unproven)}"
            )
        return told


def weigh(
    final: Mapping[str, Result],
    before: Mapping[str, Stood],
    first_selection: Collection[str],
    collected: Collection[str],
    *,
    full: bool = True,
    fakes_fail: bool = True,
) -> Stability:
    """`final` are this iteration's results that count; `before` is how each test stood last, of those that do not pass
    now; `first_selection` what the session began with, `collected` what there is now, selected or not. Where only a
    part was selected (not `full`), nothing vanished. `fakes_fail`: a fake pass is none.
    """
    regressed, silenced = {}, {}
    for test, stood in before.items():
        result = final.get(test)
        if result is None:
            continue
        if _fails(result, fakes_fail=fakes_fail) and stood.passed:
            regressed[test] = stood
        elif result.outcome in _SILENT and stood.outcome not in _SILENT:
            silenced[test] = stood
    there = set(collected)
    vanished = tuple(test for test in first_selection if test not in there) if full else ()
    return Stability(regressed, silenced, vanished)


def _fails(result: Result, *, fakes_fail: bool) -> bool:
    return result.outcome.is_failure or (fakes_fail and result.authenticity is Authenticity.FAKE)


def _many(tests: Collection[str]) -> str:
    return f"{len(tests)} test{'' if len(tests) == 1 else 's'}"


def _fail(tests: Collection[str]) -> str:
    return "fails" if len(tests) == 1 else "fail"


def _be(tests: Collection[str]) -> str:
    return "is" if len(tests) == 1 else "are"


def _some(tests: Collection[str] | Sequence[str]) -> str:
    ids = list(tests)
    shown = ", ".join(ids[:_SHOWN])
    return shown if len(ids) <= _SHOWN else f"{shown} and {len(ids) - _SHOWN} more"
