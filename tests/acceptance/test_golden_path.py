"""The main job, on the embedded default: from nothing to a true verdict."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def ran(shared_demo):
    """The run as such; it is looked at from more than one side."""
    return shared_demo.call("run", "golden-path", "--plain")


def test_the_golden_path_is_met_by_real_tests(ran, shared_demo):
    demo = shared_demo
    assert ran.returncode == 0, ran.stderr
    status = demo.status()
    assert (status["state"], status["exit_code"], status["phase"]) == ("met", 0, "record")
    assert all(tier["met"] for tier in status["tiers"])
    assert status["logs"]["complete"]
    results = demo.json("results", "latest")
    assert {result["outcome"] for result in results} == {"passed"}
    assert {result["authenticity"] for result in results} <= {"real", "suspect"}
    assert {result["revision"] for result in results} == {status["revisions"]["backend"]}
    tests = {result["id"] for result in results}
    assert "journey::agent-progression" in tests
    assert len(tests - {"journey::agent-progression"}) >= 25
    assert demo.json("findings", "latest") == []
    assert demo.wait_for_nobody() == []


def test_every_request_of_a_test_is_in_the_log_under_its_trace(ran, shared_demo):
    demo = shared_demo
    assert ran.returncode == 0
    traces = {result["trace_id"]: result["id"] for result in demo.json("results", "latest")}
    requests = [entry for entry in demo.json("logs", "latest") if entry["log"] == "requests"]
    seen = {entry["trace_id"] for entry in requests}
    assert set(traces) <= seen
    for entry in requests:
        if entry["trace_id"] in traces:
            assert entry["tests"] == [traces[entry["trace_id"]]]


def test_what_a_ci_log_shows_is_plain_text(ran):
    assert_plain(ran)


def test_what_a_ci_log_shows_is_plain_text_where_nothing_asks_for_that(demo):
    assert_plain(demo.call("run", "golden-path", "-v"))


def assert_plain(done):
    assert "\x1b" not in done.stderr
    assert "met" in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_the_seeds_defect_ends_unmet_and_names_file_line_and_exception(demo):
    done = demo.call("run", "golden-path", "--plain", "--var", "defect=orchestrator")
    assert done.returncode == 1, done.stderr
    assert demo.status()["state"] == "unmet"
    (finding,) = demo.json("findings", "latest")  # one root cause, however its tests failed over it
    cause = finding["root_cause"]
    assert cause["file"].endswith("agent_service_core.py")
    assert cause["exception"] == "AttributeError"
    assert "'NoneType' object has no attribute" in cause["message"]
    source = (demo.folder / "loops/golden-path/service" / cause["file"]).read_text().splitlines()
    assert "orchestrator" in source[cause["line"] - 1]
    assert [why for why in finding["whys"] if f"> {cause['line']} | " in why]
    assert finding["whys"][-1] == "why is orchestrator None here? not known yet"
    results = demo.json("results", "latest")
    failed = {result["id"] for result in results if result["outcome"] in {"failed", "timeout"}}
    assert set(finding["tests"]) == failed
    assert "timeout" in {result["outcome"] for result in results}
    assert "websocket-close" in {result["symptom"] for result in results}
    assert "passed" in {result["outcome"] for result in results}


def test_a_blocked_pipeline_ends_unmet_at_the_stage_it_blocks(demo):
    done = demo.call("run", "golden-path", "--plain", "--var", "defect=blocked")
    assert done.returncode == 1, done.stderr
    (finding,) = demo.json("findings", "latest")
    assert finding["stage"] == "agent_started"
    assert finding["symptom"] in {"timeout", "missing-event"}
    assert any("still waits for an orchestrator" in why for why in finding["whys"])


def test_a_revision_that_never_gets_ready_is_a_finding(demo):
    loop = demo.folder / "loops" / "golden-path.yaml"
    loop.write_text(loop.read_text().replace("agent_backend]", "no_such_module]"))
    done = demo.call("run", "golden-path", "--plain")
    assert done.returncode == 1, done.stderr
    (finding,) = demo.json("findings", "latest")
    assert (finding["symptom"], finding["cause"]) == ("deploy", "deploy")
    assert any("no_such_module" in entry["message"] for entry in demo.json("logs", "latest"))
