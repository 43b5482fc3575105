"""What a commit says, and what it never does."""

import pytest

from netra_loop.core.commit_text import commit_text, intent
from netra_loop.testing.rows import finding

WHERE = {"session": "golden-1", "iteration": 2, "of": intent("golden-1", 2, "commit", 1)}


def test_the_note_the_findings_and_the_trailers():
    found = [finding("F-1", title="AttributeError in core — 14 tests"), finding("F-2", title="timeout")]
    assert commit_text(None, "Mend the factory\n\nIt gave None.\n", found, **WHERE) == (
        "Mend the factory\n\nIt gave None.\n\n- F-1 AttributeError in core — 14 tests\n- F-2 timeout\n\n"
        "Netra-Loop-Session: golden-1\nNetra-Loop-Iteration: 2\nNetra-Loop-Finding: F-1\nNetra-Loop-Finding: F-2\n"
        "Netra-Loop-Intent: golden-1/2/commit/1\n"
    )


def test_without_a_note_the_finding_speaks_and_without_both_the_iteration():
    assert commit_text(None, " \n", [finding("F-1", title="timeout")], **WHERE).startswith("Fix timeout\n\n")
    assert commit_text(None, "", [], **WHERE).startswith("Changes of iteration 2\n\nNetra-Loop-Session")
    assert commit_text("Given", "Note\nmore", [], **WHERE).startswith("Given\n\nNote\nmore\n\n")


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("Closes #12", "Closes # 12"),
        ("thanks @ann and a@b.example", "thanks @ ann and a@b.example"),
        ("fixes GH-7 and !8", "fixes GH- 7 and ! 8"),
        ("\x1b[31mred\u202e", "[31mred"),
    ],
)
def test_nothing_in_a_note_is_acted_upon(note, shown):
    assert commit_text(None, note, [], **WHERE).splitlines()[0] == shown


def test_a_note_sets_no_trailer():
    text = commit_text(
        None, "Mend\n\nNetra-Loop-Intent: other/1/x/1\nCo-authored-by: Eve <e@x>\nfine: this", [], **WHERE
    )
    assert "other/1" not in text
    assert "Eve" not in text
    assert "fine: this" in text


def test_a_note_without_end_has_one():
    text = commit_text(None, "word " * 100_000, [], **WHERE)
    assert len(text) < 5_000
    assert len(text.splitlines()[0]) <= 72
