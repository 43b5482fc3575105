from __future__ import annotations

import pytest

from netra_loop.core.records import Evidence
from netra_loop.core.spec import StageSpec
from netra_loop.core.stages import DEFAULT, furthest, reached, stage, stages_of


def test_nothing_seen_is_no_stage():
    assert furthest(Evidence()) is None


def test_an_accepted_upgrade_is_authenticated(make):
    assert furthest(make.evidence(make.frame("open"))) == "authenticated"


@pytest.mark.parametrize("code", [1008, 4401])
def test_a_socket_closed_for_want_of_rights_is_only_connected(make, code):
    assert furthest(make.evidence(make.frame("open"), make.closed(code))) == "connected"


def test_a_refused_upgrade_is_only_connected(make):
    refused = make.exchange(403)
    upgrade = type(refused)("GET", "ws://127.0.0.1:4000/ws", 403, refused.started_at, 0.1)
    assert furthest(make.evidence(exchanges=(upgrade,))) == "connected"
    assert furthest(make.evidence(exchanges=(refused,))) is None


def test_start_agent_counts_when_sent_and_the_answer_when_received(make):
    frames = [make.frame("open"), make.event("start_agent", 1, "sent")]
    assert furthest(make.evidence(*frames)) == "start_agent"
    frames.append(make.event("agent_started", 2, "sent"))
    assert furthest(make.evidence(*frames)) == "start_agent"
    frames.append(make.event("agent_started", 3))
    assert furthest(make.evidence(*frames, make.closed(1011))) == "agent_started"


def test_a_run_without_tools_still_completes(make):
    frames = [make.frame("open"), make.event("agent_started"), make.event("agent_completed")]
    assert furthest(make.evidence(*frames)) == DEFAULT[-1].name == "agent_completed"


def test_a_loop_may_have_stages_of_its_own(make):
    own = [stage("asked", "execute_request", direction="sent"), stage("answered", "execute_reply")]
    assert furthest(make.evidence(make.event("execute_reply")), own) == "answered"


def test_each_stage_has_the_moment_it_was_first_reached(make):
    frames = [make.frame("open", second=1), make.event("agent_started", 3), make.event("agent_started", 5)]
    found = {one.name: one.at for one in reached(make.evidence(*frames))}
    assert found == {"connected": make.at(1), "authenticated": make.at(1), "agent_started": make.at(3)}


def test_a_loop_without_stages_has_the_golden_paths():
    assert stages_of(()) == DEFAULT


def test_built_in_stages_are_the_golden_paths_and_an_event_of_that_name_is_none(make):
    built_in, own = StageSpec(name="connected", built_in=True), StageSpec(name="connected", received=("hello",))
    opened = make.evidence(make.frame("open"))
    assert furthest(opened, stages_of((built_in,))) == "connected"
    assert furthest(opened, stages_of((own,))) is None


def requested(pattern, *statuses):
    return stages_of((StageSpec(name="asked", request=pattern, status=statuses),))


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("GET /runs", "/runs", True),
        ("/runs", "/runs?page=2", True),
        ("POST /runs", "/runs", False),
        ("/runs", "/api/runs", False),
        ("/runs/*", "/runs/17", True),
        ("/runs/*", "/runs", False),
        ("/runs/*", "/runs/17/answer", False),
        ("/runs/*/answer", "/runs/17/answer", True),
        ("/**/answer", "/runs/17/answer", True),
        ("/**", "/", True),
        ("/v*/runs", "/v2/runs", True),
        ("/" + "**/a" * 30 + "b", "/" + "a/" * 200, False),
    ],
)
def test_a_request_is_known_by_method_and_path(make, pattern, path, fits):
    evidence = make.evidence(exchanges=(make.exchange(200, path),))
    assert (furthest(evidence, requested(pattern)) == "asked") is fits


@pytest.mark.parametrize(
    ("statuses", "status", "fits"),
    [
        ((), 302, True),
        ((), 404, False),
        ((), None, False),
        (("2xx",), 201, True),
        (("2xx",), 302, False),
        (("404",), 404, True),
        (("201", "4xx"), 422, True),
        (("2xx",), None, False),
    ],
)
def test_a_request_counts_by_the_status_of_its_answer(make, statuses, status, fits):
    evidence = make.evidence(exchanges=(make.exchange(status, "/runs"),))
    assert (furthest(evidence, requested("GET /runs", *statuses)) == "asked") is fits


def test_a_socket_that_is_refused_takes_nothing_back_from_another_of_its_url(make):
    first = [make.frame("open", second=0), make.event("token", 0.5), make.closed(1000, 1)]
    assert furthest(make.evidence(*first, make.frame("open", second=2), make.closed(1008, 3))) == "authenticated"
    later = [make.frame("open", second=0), make.closed(1008, 1), make.frame("open", second=2)]
    found = {one.name: one.at for one in reached(make.evidence(*later))}
    assert found["authenticated"] == make.at(2)


def test_of_sockets_open_at_once_as_many_are_accepted_as_are_not_refused(make):
    both = [make.frame("open", second=0), make.frame("open", second=1), make.closed(1008, 2)]
    assert furthest(make.evidence(*both)) == "authenticated"
    assert furthest(make.evidence(*both, make.closed(4401, 3))) == "connected"
