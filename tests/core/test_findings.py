from __future__ import annotations

import pytest

from netra_loop.core.findings import DeployFailure, Facts, make_findings, open_signatures, symptom_of
from netra_loop.core.joining import join
from netra_loop.core.records import (
    Authenticity,
    Cause,
    CollectionError,
    FindingState,
    Outcome,
    Selected,
    Symptom,
)
from netra_loop.core.spec import TierSpec
from netra_loop.core.stacktrace import Source

TIERS = (TierSpec(name="P1", impact="$120K+ MRR"), TierSpec(name="P2"))
SOURCES = {"backend": Source(root="/work/service")}
PASSED, FAILED, TIMEOUT = Outcome.PASSED, Outcome.FAILED, Outcome.TIMEOUT
NEW, PERSISTING, MOVED, FIXED, REGRESSED = (
    FindingState.NEW,
    FindingState.PERSISTING,
    FindingState.MOVED,
    FindingState.FIXED,
    FindingState.REGRESSED,
)


def found(results=(), entries=(), **more):
    facts = {"iteration": 1, "results": list(results), "tiers": TIERS, "sources": SOURCES, **more}
    return make_findings(Facts(joined=join(entries, list(results)), **facts))


def crashed_socket(make, name: str, **more):
    started = [make.frame("open"), make.event("start_agent", 1, "sent"), make.event("agent_started", 2)]
    seen = make.evidence(*started, make.closed(1011, reason="Internal error"))
    message = "ConnectionClosedError: received 1011 (internal error) Internal error"
    return make.result(name, evidence=seen, message=message, stage="agent_started", **more)


def blocked(make, name: str, **more):
    seen = make.evidence(make.frame("open"), make.event("agent_started", 1))
    return make.result(name, TIMEOUT, evidence=seen, stage="agent_started", duration_s=120.0, **more)


def logged(make, result, **more):
    return make.entry(
        "failed", 6.9, trace_id=result.trace_id, insert_id=result.id, payload={"message": make.TRACEBACK}, **more
    )


def test_failures_with_one_root_cause_are_one_finding_whatever_they_look_like(make):
    results = [crashed_socket(make, "test_a"), crashed_socket(make, "test_b"), blocked(make, "test_c")]
    (finding,) = found(results, [logged(make, result) for result in results])
    assert finding.tests == tuple(result.id for result in results)
    assert (finding.symptom, finding.cause, finding.state) == (Symptom.WEBSOCKET_CLOSE, Cause.PRODUCT, NEW)
    root = finding.root_cause
    assert root is not None
    assert (root.file, root.line, root.function) == ("agent_backend/agent_service_core.py", 544, "_execute")
    assert root.entries == 3
    assert finding.title == (
        "AttributeError at agent_backend/agent_service_core.py:544 in _execute: "
        "'NoneType' object has no attribute 'create' — 3 tests, closes with 1011 among others"
    )
    assert (finding.impact, finding.stage) == ("$120K+ MRR", "agent_started")


def test_whys_go_as_deep_as_the_evidence(make):
    result = crashed_socket(make, "test_a")
    (deep,) = found([result], [logged(make, result)])
    assert deep.whys == (
        "1 test failed: closes with 1011",
        "the run got as far as agent_started (1)",
        "the server closed the WebSocket with 1011 (Internal error), 6.96 s in",
        (
            "backend-00001 logged AttributeError: 'NoneType' object has no attribute 'create' "
            "under the tests' own traces (1 entry)"
        ),
        "it was raised at agent_backend/agent_service_core.py:544 in _execute",
    )
    (shallow,) = found([result])
    assert shallow.whys == deep.whys[:3]


def test_a_blocked_pipeline_is_named_by_where_it_stopped(make):
    (finding,) = found([blocked(make, "test_a"), blocked(make, "test_b")])
    assert finding.symptom is Symptom.TIMEOUT
    assert finding.title == "timeout: no event after agent_started — 2 tests"


@pytest.mark.parametrize(
    ("message", "symptom", "cause"),
    [
        ("ConnectionClosedError: received 1011 (internal error)", Symptom.WEBSOCKET_CLOSE, Cause.PRODUCT),
        ("ConnectionClosedError: no close frame received or sent", Symptom.WEBSOCKET_CLOSE, Cause.UNKNOWN),
        ("InvalidStatus: server rejected WebSocket connection: HTTP 403", Symptom.AUTH, Cause.UNKNOWN),
        ('Exception: Failed to get test token: 401 - {"detail":"Invalid E2E bypass key"}', Symptom.AUTH, Cause.UNKNOWN),
        ("HTTPStatusError: Client error '404 Not Found' for url 'http://x/a'", Symptom.HTTP_STATUS, Cause.PRODUCT),
        ("HTTPStatusError: Server error '503 Service Unavailable' for url 'x'", Symptom.HTTP_STATUS, Cause.ENVIRONMENT),
        ("httpx.ConnectError: All connection attempts failed", Symptom.CONNECTION, Cause.ENVIRONMENT),
        ("socket.gaierror: [Errno -2] Name or service not known", Symptom.CONNECTION, Cause.ENVIRONMENT),
        ("cannot connect to ws://x/ws (step 1): connection refused by x:80", Symptom.CONNECTION, Cause.ENVIRONMENT),
        ("TimeoutError", Symptom.TIMEOUT, Cause.UNKNOWN),
        ("AssertionError: assert 3 == 4", Symptom.ASSERTION, Cause.UNKNOWN),
        ("assert 'x' == 'y'", Symptom.ASSERTION, Cause.UNKNOWN),
        ("KeyError: 'thread'", Symptom.EXCEPTION, Cause.UNKNOWN),
        ("NameError: name 'client' is not defined", Symptom.EXCEPTION, Cause.TEST),
        ("fixture 'client' not found", Symptom.EXCEPTION, Cause.TEST),
        ("", Symptom.EXCEPTION, Cause.UNKNOWN),
    ],
)
def test_a_message_alone_tells_symptom_and_cause(make, message, symptom, cause):
    result = make.result(message=message)
    assert symptom_of(result) is symptom
    (finding,) = found([result])
    assert (finding.symptom, finding.cause) == (symptom, cause)


def test_a_title_that_does_not_hold_for_every_test_says_so(make):
    ends = [
        make.result(name, Outcome.CRASHED, message=f"exited with code {code}") for name, code in (("a", 1), ("b", 0))
    ]
    (finding,) = found(ends)
    assert finding.title == "crash: exited with code 1 among others — 2 tests"
    assert found(ends[:1])[0].title == "crash: exited with code 1 — 1 test"
    assert finding.whys[0] == "2 tests failed: exited with code 1 (1); exited with code 0 (1)"


@pytest.mark.parametrize(
    ("outcome", "symptom"), [(Outcome.CRASHED, Symptom.CRASH), (TIMEOUT, Symptom.TIMEOUT), (PASSED, None)]
)
def test_the_outcome_itself_tells(make, outcome, symptom):
    assert symptom_of(make.result(outcome=outcome)) is symptom


def test_evidence_speaks_before_the_tests_own_words(make):
    opened = make.frame("open")
    assertion = "AssertionError: assert False"
    assert symptom_of(make.result(message=assertion, evidence=make.evidence(opened, make.closed(1011)))) is (
        Symptom.WEBSOCKET_CLOSE
    )
    failing = make.evidence(exchanges=(make.exchange(500),))
    assert symptom_of(make.result(message=assertion, evidence=failing)) is Symptom.HTTP_STATUS
    error = make.evidence(opened, make.event("error_message", text='{"type": "error_message", "error": "rejected"}'))
    assert symptom_of(make.result(message=assertion, evidence=error)) is Symptom.ERROR_EVENT
    silent = make.evidence(opened, make.event("agent_started"))
    assert symptom_of(make.result(message="TimeoutError", evidence=silent)) is Symptom.MISSING_EVENT
    assert symptom_of(make.result(message=assertion, evidence=silent)) is Symptom.ASSERTION
    closed_first = make.evidence(opened, make.closed(1011))
    assert symptom_of(make.result(outcome=TIMEOUT, evidence=closed_first)) is Symptom.WEBSOCKET_CLOSE


def test_an_expected_refusal_is_not_taken_for_the_fault(make):
    answers = make.evidence(exchanges=(make.exchange(401), make.exchange(200)))
    assert symptom_of(make.result(message="AssertionError: assert 'a' == 'b'", evidence=answers)) is Symptom.ASSERTION
    normal = make.evidence(make.frame("open"), make.closed(1000))
    assert symptom_of(make.result(message="assert 1 == 2", evidence=normal)) is Symptom.ASSERTION


def test_one_environment_that_is_down_is_one_finding(make):
    results = [
        make.result(f"test_{n}", message="httpx.ConnectError: refused", evidence=make.evidence(exchanges=(broken,)))
        for n, broken in enumerate(
            [make.exchange(None, "/a", "ConnectError"), make.exchange(None, "/b", "ConnectError")]
        )
    ]
    (finding,) = found(results)
    assert (finding.cause, len(finding.tests)) == (Cause.ENVIRONMENT, 2)


def test_a_fake_pass_is_a_finding_about_the_test(make):
    result = make.result(outcome=PASSED, authenticity=Authenticity.FAKE, reasons=("mocked", "no-contact"))
    (finding,) = found([result])
    assert (finding.symptom, finding.cause) == (Symptom.FAKE_PASS, Cause.TEST)
    assert found([result], authenticity="off") == []


def test_findings_stand_in_the_order_of_tiers_then_of_tests(make):
    results = [
        make.result("test_low", message="KeyError: 'low'", tier="P2"),
        make.result("test_one", message="KeyError: 'one'"),
        make.result("test_two", message="KeyError: 'many'"),
        make.result("test_three", message="KeyError: 'many'"),
    ]
    assert [finding.impact for finding in found(results)] == ["$120K+ MRR", "$120K+ MRR", "P2"]
    assert [len(finding.tests) for finding in found(results)] == [2, 1, 1]


def test_a_failed_deploy_says_what_its_container_said(make):
    lines = tuple(make.TRACEBACK.splitlines())
    failure = DeployFailure("backend", "backend-00002", "HealthCheckContainerError", "never listened", lines)
    (finding,) = found(deploy_failure=failure, selected=[Selected("a", "P1", 0, "")])
    assert (finding.symptom, finding.cause) == (Symptom.DEPLOY, Cause.DEPLOY)
    assert "agent_service_core.py:544" in finding.title


def test_what_the_platform_logs_of_a_failed_deploy_is_no_fault_of_the_product(make):
    failure = DeployFailure("backend", "backend-00001", "HEALTH_CHECK_CONTAINER_ERROR", "never listened")
    probe = make.entry("STARTUP HTTP probe failed 42 times consecutively.", log="system")
    own = make.entry("no DATABASE_URL", 2)
    findings = found(entries=[probe, own], deploy_failure=failure)
    assert [one.symptom for one in findings] == [Symptom.DEPLOY, Symptom.SERVER_ERROR]
    assert findings[1].title.startswith("no DATABASE_URL")
    assert len(found(entries=[probe])) == 1


def test_a_deploy_that_fails_again_is_the_same_finding_whatever_its_revision_is_called(make):
    story = Story()
    for name, state in (("web-00001-3rvpmw", NEW), ("web-00002-a1b2c3", PERSISTING)):
        failure = DeployFailure("web", name, "HEALTH_CHECK_CONTAINER_ERROR", f"Revision '{name}' is not ready.")
        assert story.goes_on([], deploy_failure=failure) == [state]


def test_a_file_that_cannot_be_collected_is_a_finding_about_the_tests():
    error = CollectionError(
        "tests/test_y.py", "ImportError while importing\nE   ModuleNotFoundError: No module named 'x'"
    )
    (finding,) = found(collection_errors=[error])
    assert (finding.cause, finding.tests) == (Cause.TEST, ("tests/test_y.py",))
    assert finding.title.endswith("ModuleNotFoundError: No module named 'x'")


def test_a_collection_that_hangs_says_where():
    stack = 'Current thread (most recent call first):\n  File "conftest.py", line 4 in x'
    said = f"collection did not end within 300 s; stacks:\n{stack}"
    (finding,) = found(collection_errors=[CollectionError("collection", said)])
    assert finding.title.startswith("nothing can be collected: collection did not end within 300 s")
    assert finding.whys[0] == "pytest could collect nothing"
    assert finding.whys[-1].endswith("line 4 in x")


def test_a_collection_error_is_fixed_once_it_is_gone(make):
    story = Story()
    broken = CollectionError("tests/conftest.py", "E   ImportError: no x")
    assert story.goes_on([passing(make)], collection_errors=[broken]) == [NEW]
    assert story.goes_on([passing(make)], collection_errors=[broken]) == [PERSISTING]
    assert story.goes_on([passing(make)]) == [FIXED]


def test_a_selected_test_without_a_result_is_a_finding(make):
    result = make.result(outcome=PASSED)
    selected = [Selected(result.id, "P1", 0, ""), Selected("t.py::lost", "P1", 1, "")]
    (finding,) = found([result], selected=selected)
    assert (finding.tests, finding.title) == (("t.py::lost",), "1 selected test left no result")


def test_an_exception_over_which_no_test_failed_is_told(make):
    result = make.result(outcome=PASSED, authenticity=Authenticity.REAL)
    (finding,) = found([result], [logged(make, result)])
    assert (finding.symptom, finding.tests) == (Symptom.SERVER_ERROR, (result.id,))
    assert finding.root_cause is not None
    assert finding.root_cause.line == 544


def test_loud_entries_without_a_stack_are_told_once_for_all_and_quiet_ones_not(make):
    entries = [
        make.entry("pool exhausted after 12 tries", 500),
        make.entry("pool exhausted after 19 tries", 501),
        make.entry("only a warning", 502, severity="WARNING"),
        make.entry("GET /x", 503, log="requests", request={"method": "GET", "url": "/x", "status": 500}),
        make.entry(
            "GET /y", 504, log="requests", severity="WARNING", request={"method": "GET", "url": "/y", "status": 404}
        ),
    ]
    assert [finding.title for finding in found(entries=entries)] == [
        "pool exhausted after <n> tries — 2 in the log, no test failed over it",
        "GET /x answered 500 — 1 in the log, no test failed over it",
    ]


def test_entries_that_explain_a_failure_are_not_told_twice(make):
    result = crashed_socket(make, "test_a")
    request = make.entry(
        "GET /ws", 1, log="requests", trace_id=result.trace_id, request={"method": "GET", "url": "/ws", "status": 500}
    )
    assert len(found([result], [logged(make, result), request])) == 1


# ------------------------------------------------------------------------------------- states across iterations


class Story:
    """Iterations one after the other; each tells the states of what it found."""

    def __init__(self) -> None:
        self.iteration = 0
        self.rows: list = []

    def goes_on(self, results=(), entries=(), **more):
        self.iteration += 1
        findings = found(results, entries, iteration=self.iteration, previous=list(self.rows), **more)
        self.rows.extend(findings)
        return [finding.state for finding in findings]


def failing(make, words: str, name: str = "test_a"):
    return make.result(name, message=f"KeyError: '{words}'")


def passing(make, name: str = "test_a"):
    return make.result(name, PASSED, authenticity=Authenticity.REAL)


def test_a_finding_is_new_then_persists_then_is_fixed_once_and_may_regress(make):
    story = Story()
    assert story.goes_on([failing(make, "one")]) == [NEW]
    assert story.goes_on([failing(make, "one")]) == [PERSISTING]
    assert story.goes_on([passing(make)]) == [FIXED]
    assert story.goes_on([passing(make)]) == []
    assert story.goes_on([failing(make, "one")]) == [REGRESSED]
    assert story.rows[-1].first_iteration == 1


def test_the_same_test_with_another_fault_has_moved_and_coming_back_is_a_regression(make):
    story = Story()
    story.goes_on([failing(make, "one")])
    assert story.goes_on([failing(make, "two")]) == [MOVED]
    assert story.goes_on([failing(make, "one")]) == [REGRESSED]


def test_what_was_not_run_again_is_not_fixed(make):
    story = Story()
    story.goes_on([failing(make, "one", "test_a")])
    assert story.goes_on([passing(make, "test_b")]) == []
    assert story.goes_on([failing(make, "one", "test_a")]) == [PERSISTING]


def test_a_skip_or_a_fake_pass_is_no_fix(make):
    story = Story()
    story.goes_on([failing(make, "one")])
    assert story.goes_on([make.result(outcome=Outcome.SKIPPED)]) == []
    fake = make.result(outcome=PASSED, authenticity=Authenticity.FAKE, reasons=("mocked",))
    assert FIXED not in story.goes_on([fake])


def test_a_failure_that_passes_on_retry_is_flaky_and_no_hindrance(make):
    attempts = [failing(make, "one"), make.result(attempt=2, outcome=PASSED, authenticity=Authenticity.REAL)]
    (finding,) = found(attempts)
    assert finding.state is FindingState.FLAKY
    assert open_signatures([finding]) == frozenset()


def test_a_shifted_line_is_still_the_same_finding(make):
    story = Story()
    result = crashed_socket(make, "test_a")
    story.goes_on([result], [logged(make, result)])
    shifted = make.entry("x", 6.9, trace_id=result.trace_id, payload={"m": make.TRACEBACK.replace("544", "561")})
    assert story.goes_on([result], [shifted]) == [PERSISTING]


def test_an_error_that_only_the_log_shows_is_fixed_only_where_the_log_was_read(make):
    story = Story()
    story.goes_on([passing(make)], [make.entry("pool exhausted", 3)])
    assert story.goes_on([passing(make)]) == []
    assert story.goes_on([passing(make)], [make.entry("fine", 3, severity="INFO")]) == [FIXED]


def test_making_an_iterations_findings_again_gives_the_same(make):
    first = found([failing(make, "one")])
    again = found([failing(make, "one")], previous=first)
    assert again == first


def test_a_failed_deploy_says_what_to_do_beside_its_container_s_lines(make):
    failure = DeployFailure("backend", "backend-2", "R", "never listened", ("one", "two"), "listen on $PORT")
    (finding,) = make_findings(Facts(iteration=1, deploy_failure=failure))
    assert "its container's last lines:\none\ntwo" in finding.whys
    assert finding.whys[-1] == "what to do: listen on $PORT"


def test_a_failed_build_has_no_revision_to_speak_of(make):
    failure = DeployFailure("backend", "", "BuildFailed", "the build ended with exit code 1")
    (finding,) = make_findings(Facts(iteration=1, deploy_failure=failure))
    assert finding.title.startswith("build of backend failed")
    assert "never got ready" not in "".join(finding.whys)
