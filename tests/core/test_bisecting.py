"""Which revision broke a test."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.bisecting import Hunt, broke_again, hunt, standing, steps
from netra_loop.core.records import Authenticity, Outcome, Revision
from netra_loop.core.state import Deployed
from netra_loop.testing.rows import result


def deployed(*iterations, service="backend", commits=None):
    return [
        Deployed(
            one,
            Revision(service, f"{service}-{one}", f"http://{service}-{one}", f"ws://{service}-{one}"),
            (commits or {}).get(one),
        )
        for one in iterations
    ]


def night(told):
    """A session whose iterations passed (`+`), failed (`-`) or say nothing (`?`) of the test."""
    known = {"+": True, "-": False, "?": None}
    passed = {number: known[sign] for number, sign in enumerate(told, 1)}
    return steps(["backend"], deployed(*passed), passed, len(told))


class TestHunt:
    def test_the_bounds_are_the_newest_pass_before_the_first_failure(self):
        seen = hunt(night("++??-?+-"))
        assert (seen.good.iteration, seen.bad.iteration) == (2, 5)
        assert [step.iteration for step in seen.between] == [3, 4]

    def test_a_failure_before_any_pass_is_not_what_broke_it(self):
        seen = hunt(night("-?+-"))
        assert (seen.good.iteration, seen.bad.iteration) == (3, 4)

    @pytest.mark.parametrize(
        ("told", "why"),
        [
            ("", "no iteration of the session deployed"),
            ("+?+", "it failed in no iteration that counts"),
            ("?-+", "it did not pass in any iteration before 2, where it failed first"),
        ],
    )
    def test_where_there_is_nothing_to_look_for_it_says_why(self, told, why):
        assert why in hunt(night(told))

    def test_what_broke_again_later_is_told(self):
        found = night("+-+?-+")
        assert broke_again(found, hunt(found)) == [5]

    @given(st.integers(2, 60), st.data())
    def test_it_finds_the_one_that_broke_it_in_few_steps(self, many, data):
        culprit = data.draw(st.integers(2, many))
        seen, tried = hunt(night(f"+{'?' * (many - 2)}-")), 0
        while (step := seen.following) is not None:
            seen, tried = seen.told(step, step.iteration < culprit), tried + 1
        assert [step.iteration for step in seen.suspects] == [culprit]
        assert 2 ** (tried - 1) <= many

    def test_what_cannot_be_tried_stays_among_the_suspects(self):
        seen = hunt(night("+??-"))
        while (step := seen.following) is not None:
            seen = seen.told(step, None if step.iteration == 3 else True)
        assert [step.iteration for step in seen.suspects] == [3, 4]


class TestSteps:
    def test_an_iteration_without_a_deploy_tested_what_was_there(self):
        found = steps(["backend"], deployed(1, 3), {1: None, 2: True, 3: False}, 4)
        assert [(step.iterations, step.passed) for step in found] == [((1, 2), True), ((3, 4), False)]

    def test_one_revision_that_did_both_says_nothing(self):
        (only,) = steps(["backend"], deployed(1), {1: True, 2: False}, 2)
        assert only.passed is None

    def test_each_has_a_revision_of_every_service_and_the_commit_it_was_made_of(self):
        found = steps(["backend", "auth"], [*deployed(1, 2, commits={2: "c2"}), *deployed(1, service="auth")], {}, 2)
        assert [revision.name for revision in found[1].revisions.values()] == ["backend-2", "auth-1"]
        assert (found[1].name, found[1].commit) == ("backend-2", "c2")


class TestStanding:
    def test_only_what_was_seen_to_happen_counts(self):
        passed = result("t", outcome=Outcome.PASSED, authenticity=Authenticity.REAL)
        failed = result("t", outcome=Outcome.FAILED)
        assert standing([passed]) is True
        assert standing([failed]) is False
        assert standing([replace(passed, authenticity=Authenticity.FAKE)]) is None
        assert standing([failed, replace(passed, attempt=2)]) is None
        assert standing([replace(failed, reasons=("traffic-moved: another served",))]) is None
        assert standing([result("t", outcome=Outcome.SKIPPED)]) is None
        assert standing([]) is None


def test_a_hunt_of_neighbours_is_over_at_once():
    found = night("+-")
    assert Hunt(found[0], found[1]).following is None
