"""One outcome out of pytest's reports, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from netra_loop.agent.outcome import capped, judge


@dataclass
class Report:
    """As pytest makes them; `category` is what a plugin has the terminal count it as."""

    when: str
    outcome: str
    longrepr: Any = ""
    category: str | None = None
    duration: float = 0.25
    sections: list[tuple[str, str]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"

    @property
    def skipped(self) -> bool:
        return self.outcome == "skipped"

    def marked(self, **more: object) -> Report:
        for name, value in more.items():
            setattr(self, name, value)
        return self


class Hook:
    def pytest_report_teststatus(self, report: Report, config: object) -> tuple[str, str, str]:
        if report.category is not None:
            return report.category, "", ""
        if hasattr(report, "wasxfail") and report.skipped:
            return "xfailed", "", ""
        if report.when == "call" or not report.passed:
            return ("error" if report.failed and report.when != "call" else report.outcome), "", ""
        return "", "", ""


CONFIG = SimpleNamespace(hook=Hook())
SETUP, TEARDOWN = Report("setup", "passed"), Report("teardown", "passed")


def crashed(message: str) -> SimpleNamespace:
    return SimpleNamespace(reprcrash=SimpleNamespace(message=message))


def subtest(outcome: str, message: str = "", **values: object) -> Report:
    report = Report("call", outcome, crashed(message))
    return report.marked(context=SimpleNamespace(msg=None, kwargs=values))


def told(*reports: Report) -> tuple[str, str | None]:
    said = judge(reports, CONFIG)
    return said["outcome"], said["message"]


@pytest.mark.parametrize(
    ("reports", "outcome"),
    [
        ([SETUP, Report("call", "passed"), TEARDOWN], "passed"),
        ([SETUP, Report("call", "failed", crashed("E: x")), TEARDOWN], "failed"),
        ([Report("setup", "failed", crashed("E: x")), TEARDOWN], "error"),
        ([SETUP, Report("call", "passed"), Report("teardown", "failed", crashed("E: x"))], "error"),
        ([Report("setup", "skipped", ("file", 1, "Skipped: why")), TEARDOWN], "skipped"),
        ([SETUP, Report("call", "skipped").marked(wasxfail="known"), TEARDOWN], "xfailed"),
        ([SETUP, Report("call", "passed"), Report("teardown", "skipped", ("file", 1, "late")), TEARDOWN], "passed"),
    ],
)
def test_reports_make_the_outcome_that_the_terminal_counts(reports, outcome):
    assert judge(reports, CONFIG)["outcome"] == outcome


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (Report("call", "failed", crashed("E: x"), category="known-issue"), "failed"),
        (Report("setup", "failed", crashed("E: x"), category="known-issue"), "error"),
        (Report("call", "skipped", ("file", 1, "why"), category="quarantined"), "skipped"),
        (Report("call", "passed", category="fine"), "passed"),
    ],
)
def test_a_category_of_a_plugins_own_hides_nothing(report, outcome):
    assert judge([SETUP, report, TEARDOWN], CONFIG)["outcome"] == outcome


@pytest.mark.parametrize("reports", [[], [SETUP, TEARDOWN]])
def test_a_test_whose_call_was_not_reported_did_not_pass(reports):
    assert told(*reports) == ("error", "pytest reported no call of this test, so it was not seen to pass")


def test_failed_subtests_fail_the_test_and_are_named():
    parts = [subtest("failed", "E: first\nmore", n=1), subtest("passed", n=2), subtest("failed", "E: second", n=3)]
    assert told(SETUP, *parts, Report("call", "passed"), TEARDOWN) == (
        "failed",
        "E: first [failed subtests: (n=1), (n=3)]",
    )


def test_of_many_failed_subtests_the_rest_is_counted():
    parts = [subtest("failed", "E: x", n=n) for n in range(12)]
    _, message = told(SETUP, *parts, Report("call", "passed"), TEARDOWN)
    assert message is not None
    assert message.endswith("(n=8), (n=9) and 2 more]")


def test_a_subtest_that_skips_does_not_skip_its_test():
    assert told(SETUP, subtest("skipped"), Report("call", "passed"), TEARDOWN) == ("passed", None)


@pytest.mark.parametrize("word", ["rerun", "retried"])
def test_a_pass_after_the_suites_own_reruns_says_what_was_before(word):
    before = Report("call", word, crashed("E: at first"), category=word)
    said = judge([SETUP, before, TEARDOWN, SETUP, Report("call", "passed"), TEARDOWN], CONFIG)
    assert (said["outcome"], said["reran"]) == ("passed", 1)
    assert said["message"] == "passed when its suite ran it again; before: E: at first"
    assert "before it was run again" in said["traceback"]


def test_a_run_that_ends_with_a_rerun_did_not_pass():
    before = Report("call", "rerun", crashed("E: x"), category="rerun")
    assert judge([SETUP, before, TEARDOWN], CONFIG)["outcome"] == "error"


def test_a_message_is_one_line_and_an_error_names_its_stage():
    assert told(Report("setup", "failed", crashed("E: one\ntwo")), TEARDOWN) == ("error", "setup: E: one")


def test_a_doctest_says_what_was_expected():
    lines = ["001 >>> 1 + 1", "Expected:", "    3", "Got:", "    2"]
    longrepr = SimpleNamespace(reprlocation_lines=[(SimpleNamespace(message="DocTestFailure"), lines)])
    assert told(SETUP, Report("call", "failed", longrepr), TEARDOWN) == (
        "failed",
        "DocTestFailure: Expected: 3 Got: 2",
    )


def test_output_that_reports_repeat_is_kept_once():
    section = ("Captured stdout call", "hello")
    reports = [Report("call", "passed", sections=[section]), Report("teardown", "passed", sections=[section])]
    assert judge(reports, CONFIG)["output"] == "---- Captured stdout call ----\nhello\n"


def test_short_text_is_left_alone():
    assert capped("a" * 20, side=10) == "a" * 20


def test_of_long_text_head_and_tail_are_kept_and_the_rest_is_counted():
    text = "h" * 10 + "m" * 5000 + "t" * 10
    assert capped(text, side=10) == "h" * 10 + "\n[... 5000 of 5020 characters left out ...]\n" + "t" * 10
