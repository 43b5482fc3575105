"""Which revision of a session broke a test: the ones that may have, and which to try next.

The revisions stand in the order of their deploys. Between the newest one at which the test passed before it failed, and
the first at which it failed then, are those at which nothing is known of it; each answer halves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from netra_loop.core.goal import final_results, was_moved
from netra_loop.core.records import Authenticity, Outcome, Result, Revision
from netra_loop.core.state import Deployed

_PASSES = frozenset({Outcome.PASSED, Outcome.XPASSED})


@dataclass(frozen=True)
class Step:
    """What was deployed at one time: a revision of each service. `iterations` are those that tested just these, the
    first of them being the one that made them; `commit` is what they were made of, where that is known. `passed` is
    whether the test passed there; None: not known, or both.
    """

    iterations: tuple[int, ...]
    revisions: Mapping[str, Revision]
    commit: str | None = None
    passed: bool | None = None

    @property
    def iteration(self) -> int:
        """By which it is called."""
        return self.iterations[0]

    @property
    def name(self) -> str:
        """The short name of the first service's revision."""
        return next(iter(self.revisions.values())).name


def steps(
    services: Sequence[str], deployed: Sequence[Deployed], passed: Mapping[int, bool | None], last: int
) -> list[Step]:
    """The session's revisions in the order of their deploys, from iteration 1 to `last`. `passed` is by iteration what
    `standing` says of the test; an iteration that deployed nothing tested what was there before.
    """
    made: list[Step] = []
    now: dict[str, Revision] = {}
    for iteration in range(1, last + 1):
        new = {one.revision.service: one for one in deployed if one.iteration == iteration}
        now |= {name: one.revision for name, one in new.items()}
        there = {name: now[name] for name in (*services, *now) if name in now}
        if not there:
            continue
        if made and _names(made[-1].revisions) == _names(there):
            made[-1] = replace(made[-1], iterations=(*made[-1].iterations, iteration))
        else:
            commits = {one.commit for one in new.values() if one.commit is not None}
            made.append(Step((iteration,), there, min(commits) if len(commits) == 1 else None))
    return [replace(one, passed=_agreed(passed.get(iteration) for iteration in one.iterations)) for one in made]


def standing(attempts: Iterable[Result]) -> bool | None:
    """Whether a test passed, by all its attempts in one iteration. None where that says nothing: it did not run to an
    end that counts, was skipped, passed only on retry, or without talking to the revision.
    """
    final = [one for one in final_results(attempts).values() if not was_moved(one)]
    if not final or final[0].flaky or final[0].authenticity is Authenticity.FAKE:
        return None
    if final[0].outcome.is_failure:
        return False
    return True if final[0].outcome in _PASSES else None


@dataclass(frozen=True)
class Hunt:
    """`good` passed, `bad` failed, and `between` them nothing is known; all in the order of their deploys. `skipped`
    are those of `between` that were tried in vain, by iteration.
    """

    good: Step
    bad: Step
    between: tuple[Step, ...] = ()
    skipped: frozenset[int] = field(default_factory=frozenset)

    @property
    def following(self) -> Step | None:
        """The one to try next, in the middle of those that are left; None where no other can tell any more."""
        left = [one for one in self.between if one.iteration not in self.skipped]
        return left[len(left) // 2] if left else None

    @property
    def suspects(self) -> tuple[Step, ...]:
        """The first failing one, after all that may have been it instead."""
        return (*self.between, self.bad)

    def told(self, step: Step, passed: bool | None) -> Hunt:
        """After `step`, one of `between`, was tried; None: in vain."""
        place = self.between.index(step)
        if passed is None:
            return replace(self, skipped=self.skipped | {step.iteration})
        if passed:
            return replace(self, good=step, between=self.between[place + 1 :])
        return replace(self, bad=step, between=self.between[:place])


def hunt(found: Sequence[Step]) -> Hunt | str:
    """Where to look; in words why there is nothing to look for, where that is so."""
    if not found:
        return "no iteration of the session deployed or attached anything that could be tested once more"
    good: Step | None = None
    for place, step in enumerate(found):
        if step.passed:
            good = step
        elif step.passed is False and good is not None:
            return Hunt(good, step, tuple(found[found.index(good) + 1 : place]))
    failed = [step for step in found if step.passed is False]
    if not failed:
        return "it failed in no iteration that counts"
    return f"it did not pass in any iteration before {failed[0].iteration}, where it failed first"


def broke_again(found: Sequence[Step], seen: Hunt) -> list[int]:
    """Later iterations at which it failed after it had passed once more."""
    later = [step for step in found if step.passed is not None and step.iteration >= seen.bad.iteration]
    return [after.iteration for before, after in pairwise(later) if before.passed and after.passed is False]


def _names(revisions: Mapping[str, Revision]) -> dict[str, str]:
    return {service: revision.name for service, revision in revisions.items()}


def _agreed(told: Iterable[bool | None]) -> bool | None:
    known = {one for one in told if one is not None}
    return known.pop() if len(known) == 1 else None
