"""What stops at one place is one finding, however each test noticed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from netra_loop.core.authenticity import assess
from netra_loop.core.findings import Facts, make_findings
from netra_loop.core.joining import join
from netra_loop.core.records import Authenticity, Outcome, Symptom
from netra_loop.core.symptoms import look_at


def silent(make, name, *more, outcome=Outcome.TIMEOUT, message="timed out after 8 s", **values):
    begun = (make.frame("open"), make.event("start_agent", 1, "sent"), make.event("agent_started", 2))
    seen = make.evidence(*begun, *more)
    return replace(
        make.result(name, outcome, evidence=seen, stage="agent_started", message=message),
        **values,
    )


def test_killed_given_up_and_a_journey_are_one_finding(make):
    given_up = make.closed(None, 8.0, "given up", "sent")
    results = [
        silent(make, "test_a"),
        silent(make, "test_b", id="tests/test_other.py::test_b"),
        silent(make, "j", given_up, id="journey::agent", message="not finished within 8 s (step 5 of 8)"),
        silent(
            make, "test_c", make.closed(1000, 8.0, direction="sent"), outcome=Outcome.FAILED, message="TimeoutError"
        ),
    ]
    (finding,) = make_findings(Facts(iteration=1, results=results, joined=join([], results)))
    assert finding.symptom in {Symptom.MISSING_EVENT, Symptom.TIMEOUT}
    assert (finding.stage, set(finding.tests)) == ("agent_started", {result.id for result in results})
    assert "no event after agent_started" in finding.title
    assert not any("closed the WebSocket" in why for why in finding.whys)


@pytest.mark.parametrize("code", [None, 1006, 1011])
def test_a_close_of_our_own_is_no_sign_of_failure(make, code):
    closed = make.closed(code, 8.0, "given up", "sent")
    assert look_at(silent(make, "test_a", closed)).symptom is Symptom.TIMEOUT
    seen = make.evidence(make.frame("open"), closed, contacts=(make.contact(),))
    assert assess(Outcome.PASSED, seen, 1.0, [("127.0.0.1", 4000)]) == (Authenticity.REAL, ())


def test_what_hangs_after_all_is_closed_waits_for_no_event(make):
    look = look_at(silent(make, "test_a", make.closed(1000, 3.0, direction="sent")))
    assert (look.symptom, look.words) == (Symptom.TIMEOUT, "does not end after agent_started, its sockets closed")


def test_a_request_that_came_after_the_frames_is_what_is_waited_for(make):
    pending = replace(make.exchange(None, "/api/report"), started_at=make.T0 + timedelta(seconds=5))
    result = silent(make, "test_a")
    result = replace(result, evidence=replace(result.evidence, exchanges=(pending,)))
    assert look_at(result).words == "no answer from GET /api/report"
