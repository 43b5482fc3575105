"""Commands to the runner of GitHub Actions, read back by the runner's own rules."""

import re

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.report.github_commands import SHOWN, Annotation, commands, group, outputs


def read(line: str) -> tuple[str, dict[str, str], str]:
    """A command's name, properties and message, as the runner takes them: escapes are undone once it is split."""
    found = re.fullmatch(r"::([a-z-]+)(?: ([^\n\r]*?))?::([^\n\r]*)", line)
    assert found, line
    pairs = [pair.partition("=") for pair in (found[2] or "").split(",") if pair]
    undone = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")]

    def undo(text: str) -> str:
        for escape, char in undone:
            text = text.replace(escape, char)
        return text

    return found[1], {name: undo(value) for name, _, value in pairs}, undo(found[3])


def test_an_annotation_stands_at_its_file_and_line():
    name, given_, message = read(
        Annotation("error", "failed: a::b", "100% wrong,\nreally", "tests/a,b:c.py", 7).command()
    )
    assert (name, message) == ("error", "100% wrong,\nreally")
    assert given_ == {"file": "tests/a,b:c.py", "line": "7", "title": "failed: a::b"}


def test_without_a_file_there_is_no_line():
    assert Annotation("notice", "paused", "go on", None, 7).command() == "::notice title=paused::go on"


@given(st.text(), st.text())
def test_nothing_that_is_said_makes_another_command_or_property(title: str, message: str):
    line = Annotation("error", title, message, "a.py", 1).command()
    assert len(line.splitlines()) == 1
    name, given_, _ = read(line)
    assert name == "error"
    assert given_["file"] == "a.py"
    assert set(given_) <= {"file", "line", "title"}


@given(st.text())
def test_a_group_s_title_is_one_line(title: str):
    assert len(group(title).splitlines()) == 1


def test_of_each_kind_as_many_are_made_as_are_shown_and_the_last_counts_the_rest():
    many = [Annotation("error", f"number {number}", "") for number in range(25)]
    lines = commands([*many, Annotation("warning", "one", "")])
    assert len(lines) == SHOWN + 1
    assert read(lines[SHOWN - 1])[1]["title"] == "and 16 more"
    assert len(commands(many[:SHOWN])) == SHOWN


def test_what_was_not_even_made_is_counted_too():
    many = [Annotation("error", f"number {number}", "") for number in range(25)]
    last = read(commands(many, 300, "netra-loop results night-1")[-1])
    assert (last[1]["title"], last[2]) == ("and 316 more", "netra-loop results night-1")
    assert [read(line)[1]["title"] for line in commands(many[:2], 5)] == ["number 0", "number 1", "and 5 more"]


@given(st.text())
def test_an_output_s_value_is_no_output_of_its_own(value: str):
    assert len(outputs([("state", value), ("exit_code", "0")]).splitlines()) == 2
