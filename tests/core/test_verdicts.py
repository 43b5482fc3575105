"""What a comparison makes of findings that rest on several tests."""

import pytest

from netra_loop.core.comparing import Compared, Comparison
from netra_loop.core.records import Cause, FindingState, Outcome
from netra_loop.core.verdicts import Verdicts
from netra_loop.testing.rows import finding

F, N, K, E, R, U = (
    Comparison.FIXED,
    Comparison.NOT_FIXED,
    Comparison.FLAKE,
    Comparison.ENVIRONMENT,
    Comparison.REGRESSION,
    Comparison.UNKNOWN,
)


def verdicts(*told):
    rows = [Compared(f"t{place}", Outcome.PASSED, Outcome.PASSED, one) for place, one in enumerate(told)]
    return Verdicts.of(rows, "b-1", "b-2")


def judged(*told, tests=None, state=FindingState.PERSISTING):
    ids = tuple(f"t{place}" for place in range(tests or len(told)))
    (one,) = verdicts(*told).of_findings([finding("F-1", tests=ids, state=state)])
    return one


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ((F, F), FindingState.FIXED),
        ((F, K), FindingState.FIXED),
        ((K, K), FindingState.FLAKY),
        ((F, N), FindingState.PERSISTING),
        ((R, R, N), FindingState.REGRESSED),
        ((R, N), FindingState.PERSISTING),
        ((F, U), FindingState.PERSISTING),
        ((E, E), FindingState.PERSISTING),
    ],
)
def test_the_state_of_a_finding(told, state):
    assert judged(*told).state is state


def test_one_test_that_was_left_out_may_stand_for_anything():
    assert judged(F, tests=2).state is FindingState.PERSISTING
    assert judged(K, tests=2).state is FindingState.PERSISTING


def test_half_of_it_of_the_environment_makes_it_the_environments():
    assert judged(E, K).cause is Cause.ENVIRONMENT
    assert judged(E, K, K).cause is Cause.PRODUCT


def test_what_was_gone_and_fails_on_both_sides_is_there_still():
    assert judged(N, state=FindingState.FIXED).state is FindingState.PERSISTING


def test_a_finding_that_was_not_compared_stays_as_it_is():
    other = finding("F-2", tests=("elsewhere",))
    assert verdicts(F).of_findings([other]) == [other]


def test_a_claim_is_left_open_only_where_nothing_speaks_for_it_or_against_it():
    def is_open(*told):
        tests = tuple(f"t{place}" for place in range(len(told)))
        return verdicts(*told).proves_nothing_of(finding("F-1", tests=tests))

    assert [is_open(K), is_open(E, K), is_open(K, U)] == [True] * 3
    assert [is_open(F, K), is_open(N, K), is_open(U), is_open()] == [False] * 4
