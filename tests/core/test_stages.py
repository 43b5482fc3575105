from __future__ import annotations

import pytest

from netra_loop.core.records import Evidence
from netra_loop.core.stages import DEFAULT, furthest, stage


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
