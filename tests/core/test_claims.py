"""A claim is judged once, by a newer iteration."""

from netra_loop.core.claims import Score, claimed, judged, scores
from netra_loop.core.records import Claim, FindingState
from netra_loop.testing.rows import finding


def test_a_claim_is_made_once():
    one, two = finding("F-1"), finding("F-2")
    made = claimed([one, two], {"F-2", "F-9"}, 1)
    assert [(one.id, one.claims) for one in made] == [("F-2", (Claim(1, "claimed", None),))]
    assert claimed(made, {"F-2"}, 1) == made


def test_the_next_newer_revision_says_what_came_of_it():
    (mine,) = claimed([finding("F-1")], {"F-1"}, 1)
    (gone,) = judged([_as(mine, FindingState.FIXED)], 2, "backend-2")
    (there,) = judged([_as(mine, FindingState.PERSISTING)], 2, "backend-2")
    assert gone.claims == (Claim(1, "verified", "backend-2"),)
    assert there.claims == (Claim(1, "refuted", "backend-2"),)


def test_what_is_judged_stays_so_and_a_claim_of_this_iteration_waits():
    claims = (Claim(1, "refuted", "backend-2"), Claim(3, "claimed", None))
    (one,) = judged([_as(finding("F-1", claims=claims), FindingState.FIXED)], 3, "backend-3")
    assert one.claims == claims
    (one,) = judged([one], 4, "backend-4")
    assert [claim.verdict for claim in one.claims] == ["refuted", "verified"]


def test_the_revision_that_it_was_made_at_says_nothing():
    (mine,) = claimed([finding("F-1")], {"F-1"}, 1)
    (same,) = judged([_as(mine, FindingState.PERSISTING)], 2, "backend-1", {1: "backend-1"})
    assert same.claims == mine.claims
    (newer,) = judged([_as(mine, FindingState.PERSISTING)], 3, "backend-2", {1: "backend-1", 2: "backend-1"})
    assert newer.claims == (Claim(1, "refuted", "backend-2"),)


def test_the_score_of_each_fixer():
    claims = (Claim(1, "refuted", "b-2"), Claim(2, "verified", "b-3"))
    findings = [finding("F-1", claims=claims), finding("F-2", claims=(Claim(3, "claimed", None),))]
    made_by = {(1, "F-1"): "fix", (2, "F-1"): "other", (3, "F-2"): "fix"}
    told = scores(findings, made_by)
    assert told == {"fix": Score(0, 1, 1), "other": Score(1, 0, 0)}
    assert str(told["fix"]) == "0 of 1 claims verified, 1 not judged yet"


def _as(one, state):
    return finding(one.id, state=state, claims=one.claims)
