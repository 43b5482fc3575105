"""P1: the core platform. A user connects, is let in, starts an agent, and gets the agent's answer."""

import os

import pytest
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.critical

GOLDEN_PATH = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


def test_001_health_names_the_service_and_its_revision(http):
    answer = http.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    # netra-loop tells the tests which revision they are meant to meet
    assert answer.json()["revision"] == (os.environ.get("NETRA_LOOP_REVISION") or answer.json()["revision"])


def test_002_connection_is_established_for_an_authenticated_user(open_socket, bearer, user):
    socket = open_socket(bearer(user))
    assert f'"user_id": "{user}"' in socket.recv(timeout=10)


def test_003_the_token_of_the_loop_is_accepted(open_socket, make_token, user):
    token = os.environ.get("NETRA_LOOP_TOKEN") or make_token(user)
    socket = open_socket({"Authorization": f"Bearer {token}"})
    assert "connection_established" in socket.recv(timeout=10)


def test_004_upgrade_without_a_token_is_refused_with_401(open_socket):
    with pytest.raises(InvalidStatus) as refusal:
        open_socket({})
    assert refusal.value.response.status_code == 401
    assert refusal.value.response.headers["WWW-Authenticate"] == "Bearer"


def test_005_upgrade_with_an_expired_token_is_refused_with_401(open_socket, bearer, user):
    with pytest.raises(InvalidStatus) as refusal:
        open_socket(bearer(user, ttl=-60))
    assert refusal.value.response.status_code == 401
    assert b"expired" in refusal.value.response.body


def test_006_upgrade_with_a_foreign_signature_is_refused_with_401(open_socket, bearer, user):
    with pytest.raises(InvalidStatus) as refusal:
        open_socket(bearer(user, secret="somebody else's secret of 32 bytes"))  # noqa: S106 - that is the point
    assert refusal.value.response.status_code == 401
    assert b"signature" in refusal.value.response.body


def test_007_upgrade_without_the_permission_is_refused_with_403(open_socket, bearer, user):
    with pytest.raises(InvalidStatus) as refusal:
        open_socket(bearer(user, permissions=["read_only"]))
    assert refusal.value.response.status_code == 403
    assert b"agent_execution" in refusal.value.response.body


def test_008_agent_progression_from_start_to_answer(chat):
    assert chat.ask("what is 6 * 7?")["answer"] == "42"
    assert [event for event in chat.types() if event in GOLDEN_PATH] == GOLDEN_PATH


def test_009_progression_events_of_a_run_are_numbered_without_a_gap(chat):
    chat.ask("find the golden path")
    run = [event for event in chat.events if "run_id" in event]
    assert [event["sequence"] for event in run] == list(range(1, len(run) + 1))
    assert len({event["run_id"] for event in run}) == 1


def test_010_progression_through_two_tools_in_the_order_asked_for(chat):
    answer = chat.ask("compute 12 * (3 + 4) then find the close codes")
    assert answer["tools_used"] == ["calculate", "search_corpus"]
    assert answer["answer"].startswith("84\nClose codes: ")
    tools = [event for event in chat.types() if event.startswith("tool_")]
    assert tools == ["tool_executing", "tool_completed"] * 2


def test_011_streamed_partial_results_add_up_to_the_answer(chat):
    answer = chat.ask("how does tracing match log entries to a request?", agent_type="researcher")["answer"]
    partial = [event["payload"]["text"] for event in chat.events if event["type"] == "agent_partial"]
    assert len(partial) > 5
    assert "".join(partial) == answer
    assert "traceparent header" in answer


def test_012_progression_reaches_every_socket_of_the_thread(open_chat, user):
    """A second window of the same user watches the thread: it must see the run through to the answer."""
    first, second = open_chat(user), open_chat(user)
    first.send("create_thread")
    thread = first.until("thread_created")["thread_id"]
    second.send("subscribe", thread_id=thread)
    second.until("subscribed")
    first.send("start_agent", user_request="what is 2 + 3?", thread_id=thread)
    assert second.until("agent_completed")["payload"]["answer"] == "5"
