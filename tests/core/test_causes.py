"""Tests of which exception is said to be behind a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netra_loop.core.findings import Facts, make_findings
from netra_loop.core.joining import join
from netra_loop.core.records import Outcome, Symptom
from netra_loop.core.stacktrace import Source

SOURCES = {"backend": Source(root="/work/service")}


def found(results, entries):
    return make_findings(Facts(iteration=1, results=results, joined=join(entries, results), sources=SOURCES))


def refused(make, name, path="/err", **more):
    seen = make.evidence(exchanges=(make.exchange(503, path),))
    message = f"HTTPStatusError: Server error '503 Service Unavailable' for url 'http://127.0.0.1:4000{path}'"
    return make.result(name, evidence=seen, message=message, **more)


def traceback(make, second=1.0, **more):
    return [make.entry(line, second + n / 1000, **more) for n, line in enumerate(make.TRACEBACK.splitlines())]


def roots(findings, symptom=Symptom.HTTP_STATUS):
    return [finding.root_cause for finding in findings if finding.symptom is symptom]


def test_an_exception_without_a_trace_is_behind_the_one_test_that_ran_then(make):
    results = [refused(make, "test_a"), make.result("test_b", Outcome.PASSED, started_at=make.at(60))]
    (finding,) = found(results, traceback(make))
    assert finding.tests == (results[0].id,)
    assert finding.root_cause is not None


@pytest.mark.parametrize("other", [Outcome.PASSED, Outcome.FAILED])
def test_an_exception_that_may_be_of_another_test_is_nobody_s_root_cause(make, other):
    results = [refused(make, "test_fail"), make.result("test_b", other, message="AssertionError: names differ")]
    old = make.entry("old error", 1.1, severity="ERROR", payload={"severity": "ERROR", "message": "old error"})
    findings = found(results, [*traceback(make), old])
    assert roots(findings) == [None]
    (refusal,) = (one for one in findings if one.symptom is Symptom.HTTP_STATUS)
    assert "AttributeError" not in refusal.title
    assert refusal.whys[-1].startswith("possibly: AttributeError: 'NoneType' object has no attribute 'create' at ")
    assert "while 2 tests ran, or within 0.5 s of that, and may be of any of them" in refusal.whys[-1]


def test_what_is_possibly_behind_a_failure_is_a_finding_that_claims_no_test(make):
    findings = found([refused(make, "test_a"), make.result("test_b", Outcome.PASSED)], traceback(make))
    (logged,) = (one for one in findings if one.symptom is Symptom.SERVER_ERROR)
    assert logged.tests == ()
    assert logged.title.endswith("no test is known to have failed over it")


def test_of_several_exceptions_near_failures_none_is_said_to_have_failed_no_test(make):
    other = [replace(entry, message=entry.message.replace("AttributeError", "KeyError")) for entry in traceback(make)]
    other = [replace(entry, insert_id=f"other-{entry.insert_id}", log="stdout") for entry in other]
    findings = found([refused(make, "test_a"), refused(make, "test_b", "/other")], [*traceback(make), *other])
    logged = [one.title for one in findings if one.symptom is Symptom.SERVER_ERROR]
    assert [title.split(" at ")[0] for title in logged] == ["AttributeError", "KeyError"]
    assert all(title.endswith("no test is known to have failed over it") for title in logged)


def test_an_exception_explains_all_that_ran_then_where_they_all_failed_alike(make):
    results = [refused(make, f"test_{name}") for name in "abc"]
    (finding,) = found(results, traceback(make))
    assert len(finding.tests) == 3
    assert finding.root_cause is not None
    assert any(" while the tests ran, or within 0.5 s of that (" in why for why in finding.whys)


def test_tests_that_failed_otherwise_have_no_exception_in_common(make):
    results = [refused(make, "test_a", "/err"), refused(make, "test_b", "/other")]
    assert roots(found(results, traceback(make))) == [None, None]


def test_of_two_exceptions_at_one_time_none_explains_several_tests(make):
    other = traceback(make, 1.2)
    other[-1] = make.entry("KeyError: 'thread'", 1.3)
    findings = found([refused(make, "test_a"), refused(make, "test_b")], [*traceback(make), *other])
    assert roots(findings) == [None]


def test_an_exception_that_names_the_test_s_own_id_is_behind_it(make):
    results = [refused(make, "test_a", "/users/user-4711"), make.result("test_b", Outcome.PASSED)]
    named = make.entry(f"user-4711 failed\n{make.TRACEBACK}", 1)
    (finding,) = found(results, [named])
    assert finding.tests == (results[0].id,)
    assert finding.root_cause is not None


def test_an_earlier_attempt_of_the_same_test_is_no_other_test(make):
    results = [refused(make, "test_a", attempt=1), refused(make, "test_a", attempt=2, started_at=make.at(7.1))]
    (finding,) = found(results, traceback(make, 7.2))
    assert finding.root_cause is not None
