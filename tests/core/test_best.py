"""Which revision an unmet session leaves behind."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from netra_loop.core.best import best
from netra_loop.core.records import Revision, TierVerdict, Verdict
from netra_loop.core.stability import TAMPERED
from netra_loop.core.state import Deployed, Judged, State

AT = datetime(2026, 1, 1, tzinfo=UTC)


def judged(iteration, *failures, verdict=Verdict.UNMET, full=True, skipped=0):
    tiers = tuple(
        TierVerdict(name=f"P{number}", selected=9, failures=failed, failure_rate=0, max_failures=0, met=False)
        for number, failed in enumerate(failures, 1)
    )
    counts = {"selected": 9 * len(tiers), "skipped": skipped}
    return Judged(iteration, verdict, frozenset(), tiers, {}, (), counts, full)


def deployed(iteration, service="backend"):
    return Deployed(iteration, Revision(service, f"{service}-{iteration}", "http://x", "ws://x", AT), made=True)


def chosen(*iterations, made=None):
    made = [deployed(one.iteration) for one in iterations] if made is None else made
    found = best(State(judged=iterations, deployed=tuple(made)), ["backend"])
    return None if found is None else found.iteration


def test_the_first_tiers_count_most_and_of_equals_the_newest():
    assert chosen(judged(1, 2, 0), judged(2, 1, 9), judged(3, 1, 9), judged(4, 3, 0)) == 3


@pytest.mark.parametrize(
    "other",
    [
        judged(2, 0, 0, verdict=Verdict.INCONCLUSIVE),
        judged(2, 0, 0, full=False),
        judged(2, 0, 0, skipped=5),
        judged(2),
        replace(judged(2, 0, 0), reasons=(f"{TAMPERED}conftest.py",)),
        replace(judged(2, 0, 0), counts={"selected": 12}),
    ],
)
def test_what_cannot_be_compared_is_not(other):
    assert chosen(judged(1, 1, 0), other, judged(3, 2, 0)) == 1


def test_what_was_not_deployed_in_an_iteration_is_not_its_revision():
    assert chosen(judged(1, 0), judged(2, 1), judged(3, 2), made=[deployed(2), deployed(3)]) == 2


def test_what_was_only_attached_to_is_not_ours_to_choose():
    assert chosen(judged(1, 0), judged(2, 1), made=[replace(deployed(1), made=False), deployed(2)]) is None


def test_one_alone_is_no_choice():
    assert chosen(judged(1, 1)) is None
    assert chosen() is None


def test_what_it_says():
    found = best(State(judged=(judged(1, 1, 2), judged(2, 5, 5)), deployed=(deployed(1), deployed(2))), ["backend"])
    assert (found.revisions, found.failures, found.newest, found.failures_newest) == (
        {"backend": "backend-1"},
        3,
        2,
        10,
    )
