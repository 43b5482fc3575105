"""The summary of a job: true, harmless and of a bounded size."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.records import Outcome
from netra_loop.report.github_summary import Told, code, summary
from netra_loop.report.view import SessionView
from netra_loop.testing.rows import T0, finding, result

NASTY = "a|b `code` <script>x</script> @somebody fixes #12 ![](http://h/x) \x1b[31m\n\n# title\n::set-output name=a::b"


def view(**changes) -> SessionView:
    return replace(SessionView("night-1", "night", "local", "paused", 2, "execute", T0, T0), **changes)


def without_code(markdown: str) -> str:
    """What a reader of Markdown would take for markup: everything outside code."""
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"(?ms)^```sh$.*?^```$", "", markdown))


def test_a_paused_session_says_how_to_go_on():
    told = summary(Told(view(exit_code=75, reason="the budget of 5h30m is used up"), (), (), 0))
    assert told.startswith("### netra-loop: `night` paused, exit 75\n")
    assert "Why: `the budget of 5h30m is used up`" in told
    assert "```sh\nnetra-loop resume night-1\n```" in told


def test_what_fixers_claimed_and_what_is_waited_for_is_told():
    waits = ("waits for a new commit on main, since 04:00", "the brief is /b.md")
    told = summary(Told(view(scores={"fix": "1 of 2 claims verified"}, waits=waits), (), (), 0))
    assert "Fixers: `fix: 1 of 2 claims verified`." in told
    assert "It `waits for a new commit on main, since 04:00`." in told


def test_findings_and_failing_tests_are_tables():
    failing = result("tests/test_a.py::test_b", outcome=Outcome.TIMEOUT, message="timed out after 8 s")
    told = summary(Told(view(state="unmet", exit_code=1), [finding("F-1")], [failing], 1))
    assert "| `F-1` | " in told
    assert re.search(r"\| `tests/test_a.py::test_b` \| .* \| timeout \| `timed out after 8 s` \|", told)
    assert "resume" not in told


def test_a_test_that_does_not_count_is_no_plain_failure():
    gone = result("a.py::b", outcome=Outcome.FAILED, message="refused", reasons=("environment-gone: it had ended",))
    told = summary(Told(view(state="failed", exit_code=3), [], [gone], 1))
    assert "| failed, not counted: the environment had ended | `refused` |" in told


def test_what_tests_say_is_never_markup():
    failing = result(NASTY, outcome=Outcome.FAILED, message=NASTY)
    worst = replace(finding("F-1"), title=NASTY)
    told = summary(Told(view(reason=NASTY, state="unmet"), [worst], [failing], 1))
    outside = without_code(told)
    for trace in ("script", "@somebody", "#12", "http", "\x1b", "# title"):
        assert trace not in outside
    assert not re.search(r"(?m)^\s*::", told)
    rows = [line for line in told.splitlines() if line.startswith("| ") and "F-1" in line]
    assert len(re.split(r"(?<!\\)\|", rows[0])) == 8  # six cells between eight ends


@given(st.text())
def test_a_code_span_is_one_line_and_closes_where_it_began(text: str):
    span = code(text)
    assert len(span.splitlines()) <= 1
    if span:
        fence = re.match("`+", span)[0]
        assert span.endswith(fence)
        inner = span[len(fence) : -len(fence)]
        assert len(fence) not in {len(run) for run in re.findall("`+", inner)}


def test_its_size_is_bounded_and_what_is_left_out_is_said():
    many = [result(f"tests/test_a.py::test_{n}", outcome=Outcome.FAILED, message="x" * 5000) for n in range(2000)]
    found = [replace(finding(f"F-{n}"), title="y" * 5000) for n in range(2000)]
    told = summary(Told(view(state="unmet"), found, many[:200], 2000))
    assert len(told.encode()) < 250_000
    assert "And 1950 more findings" in told
    assert "And 1900 more tests" in told
    short = summary(Told(view(state="unmet"), found, many[:200], 2000), limit=5000)
    assert len(short.encode()) <= 5000
    assert "The rest is left out" in short


def test_the_command_that_goes_on_asks_the_shell_for_what_is_not_stored():
    told = summary(Told(view(exit_code=75, vars={"api_key": "[redacted]", "user": "me"}), (), (), 0))
    assert '```sh\nnetra-loop resume night-1 --var api_key="$API_KEY"\n```' in told
    assert "Go on with it (first set API_KEY to the value of api_key, a secret and therefore not stored):" in told


def test_counts_are_of_all_that_failed_however_few_are_listed():
    listed = [result(f"tests/test_a.py::test_{n}", outcome=Outcome.FAILED) for n in range(200)]
    told = summary(Told(view(state="unmet"), (), listed, 300))
    assert "<summary>300 tests that failed or are fake</summary>" in told
    assert told.count("| failed |") == 100
    assert "And 200 more tests" in told
    assert "<summary>7 tests that" in summary(Told(view(state="unmet"), (), (), 7))


def test_what_is_cut_leaves_nothing_folded_open():
    listed = [result(f"tests/test_a.py::test_{n}", outcome=Outcome.FAILED, message="x" * 200) for n in range(100)]
    told = summary(Told(view(state="unmet"), (), listed, 100), limit=5000)
    assert (told.count("<details>"), told.count("</details>")) == (1, 1)
    assert told.index("</details>") < told.index("The rest is left out")


def test_an_iteration_that_was_not_judged_has_no_findings_and_says_what_was_left_before():
    told = summary(Told(view(earlier="iteration 2 was not judged yet; iteration 1 left 3 findings open"), (), (), 0))
    assert "\niteration 2 was not judged yet; iteration 1 left 3 findings open.\n" in told
    assert "#### Findings" not in told


def test_regressions_are_a_table_of_their_own():
    told = summary(Told(view(state="unmet", regressed={"test_a|b": "passed in iteration 1, fails now"}), (), (), 0))
    assert "#### Regressions\n\n" in told
    assert "| `test_a\\|b` | `passed in iteration 1, fails now` |" in told
    assert "Regressions" not in summary(Told(view(state="unmet"), (), (), 0))
