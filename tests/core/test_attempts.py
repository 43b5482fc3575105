"""Tests of what earlier fixers tried, and whether it helped."""

from netra_loop.core.attempts import attempts_at
from netra_loop.core.events import Committed, FixerRan
from netra_loop.core.records import Claim, FindingState
from netra_loop.testing.rows import finding

TESTS = ("t.py::a", "t.py::b", "t.py::c")


def ran(iteration: int, attempt: int = 1, **more) -> FixerRan:
    given = {"exit_code": 0, "changed": ("service/app.py",), "note": "waited longer\n", **more}
    return FixerRan(iteration=iteration, phase="fix", attempt=attempt, **given)


def made(iteration: int, *findings: str) -> Committed:
    return Committed(
        iteration=iteration, phase="commit", attempt=1, commit=f"{iteration}" * 40, parent="p", tree="t",
        subject="Wait longer", findings=findings,
    )  # fmt: skip


def row(name: str = "F-1", tests=TESTS, **more):
    return finding(name, tests=tests, **more)


def test_a_claim_that_was_refuted_says_so():
    refuted = row(claims=(Claim(1, "refuted", "backend-2"),), stage="agent_started", last_iteration=2)
    rows = {1: [row(stage="connected")], 2: [refuted]}
    (one,) = attempts_at(refuted, [ran(1, claims=("F-1",))], [made(1, "F-1")], rows)
    assert (one.claimed, one.verdict, one.revision) == (True, "refuted", "backend-2")
    assert (one.commit, one.subject, one.note) == ("1" * 40, "Wait longer", "waited longer")
    assert (one.tests_before, one.tests_after, one.helped) == (3, 3, False)
    assert (one.stage_before, one.stage_after) == ("connected", "agent_started")


def test_fewer_failing_tests_are_help():
    rows = {1: [row()], 2: [row(tests=TESTS[:1])]}
    (one,) = attempts_at(row(tests=TESTS[:1]), [ran(1)], [], rows)
    assert (one.tests_before, one.tests_after, one.helped) == (3, 1, True)


def test_what_was_tried_against_the_fault_before_counts_for_the_one_that_it_became():
    moved = row("F-2", state=FindingState.MOVED)
    rows = {1: [row("F-1")], 2: [moved, row("F-1", state=FindingState.FIXED)]}
    (one,) = attempts_at(moved, [ran(1, claims=("F-1",))], [], rows)
    assert one.claimed


def test_what_was_meant_for_another_fault_is_not_told():
    other = row("F-9", tests=("t.py::z",))
    rows = {1: [row(), other], 2: [row(), other]}
    assert attempts_at(row(), [ran(1, claims=("F-9",))], [made(1, "F-9")], rows) == []


def test_a_fixer_that_claimed_nothing_and_changed_nothing_tried_nothing():
    assert attempts_at(row(), [ran(1, changed=())], [], {1: [row()]}) == []


def test_what_no_iteration_has_judged_yet_neither_helped_nor_failed():
    (one,) = attempts_at(row(), [ran(2, refused=("tests/a.py",))], [], {2: [row()]})
    assert (one.tests_after, one.helped, one.commit) == (None, None, None)
    assert one.row()["refused"] == ["tests/a.py"]


def test_a_row_is_within_bounds():
    (one,) = attempts_at(row(), [ran(1, note="x" * 9_000, changed=tuple(map(str, range(99))))], [], {1: [row()]})
    assert (len(one.row()["note"]), len(one.row()["changed"])) == (1_000, 20)
