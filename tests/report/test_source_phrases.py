"""How the work on source is said."""

from netra_loop.core import events as e
from netra_loop.report.phrases import event

OURS = "4d1c0ffee4d1" + "0" * 28


def test_a_fixer_is_told_by_what_it_changed_claims_and_says():
    ran = e.FixerRan(exit_code=0, note="\nGive it time\n\nmore of it", claims=("F-1",), changed=("a.py",))
    assert event(ran) == "it changed a.py, claims to have fixed F-1; says: Give it time"


def test_what_was_refused_is_told_before_anything_it_says():
    ran = e.FixerRan(exit_code=0, note="Stabilise", changed=("a", "t"), refused=("t",))
    assert event(ran) == "refused, all of it: it changed t"


def test_few_of_many_paths_are_named():
    made = e.Committed(commit=OURS, parent="", tree="", subject="x", paths=("a", "b", "c", "d", "e"))
    assert event(made) == "commit 4d1c0ffee4d1 of a, b, c and 2 more"


def test_a_comparison_counts_its_verdicts():
    rows = ({"verdict": "not-fixed"}, {"verdict": "fixed"}, {"verdict": "not-fixed"})
    assert event(e.RevisionsCompared(before="s-1", now="s-2", rows=rows)) == "s-2 against s-1: 2 not fixed, 1 fixed"
    assert event(e.RevisionsCompared(before=None, now="s-1")) == "there was nothing to compare with"


def test_of_an_image_that_is_not_built_here_nothing_is_said_of_files():
    taken = e.SourceTaken(service="s", folder="/x/source", commit=OURS, image="r/i:1")
    assert event(taken) == "s is image r/i:1, as it is found: it is not built here"


def test_the_source_of_a_revision_is_its_commit_and_what_is_not_in_it_is_said():
    taken = e.SourceTaken(service="s", folder="/x", commit=OURS, left_out=("a.py",))
    assert event(taken) == "s is made of the files of commit 4d1c0ffee4d1, without what is not committed: a.py"
