"""P2: key features. Discovery, many users at once, threads, and what happens after a mistake or a lost connection."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.high


def test_020_discovery_lists_the_agents_and_their_tools(http):
    agents = {agent["name"]: agent["tools"] for agent in http.get("/api/agents").json()["agents"]}
    assert agents["calculator"] == ["calculate"]
    assert set(agents) == {"assistant", "calculator", "researcher"}


def test_021_every_agent_that_discovery_lists_has_a_configuration(http):
    for agent in http.get("/api/agents").json()["agents"]:
        answer = http.get(f"/api/agents/{agent['name']}")
        assert answer.status_code == 200
        assert answer.json() == agent


def test_022_me_is_who_the_token_says(http, bearer, user):
    answer = http.get("/api/me", headers=bearer(user, permissions=["agent_execution", "billing"]))
    assert answer.json() == {"user_id": user, "permissions": ["agent_execution", "billing"]}


def test_023_users_at_the_same_time_get_their_own_answers(open_chat, user):
    chats = [open_chat(f"{user}-{number}") for number in range(6)]
    with ThreadPoolExecutor(len(chats)) as pool:
        answers = pool.map(lambda pair: pair[1].ask(f"compute 1000 + {pair[0]}")["answer"], enumerate(chats))
        assert list(answers) == [str(1000 + number) for number in range(6)]


def test_024_no_event_of_one_user_reaches_another(open_chat, user):
    alice, bob = open_chat(f"{user}-alice"), open_chat(f"{user}-bob")
    alice.send("start_agent", user_request="what is 11 * 11?")
    bob.send("start_agent", user_request="find the revision")
    alice.until("agent_completed")
    bob.until("agent_completed")
    for chat in (alice, bob):
        assert {event["user_id"] for event in chat.events if "run_id" in event} == {chat.user}
    assert {event.get("thread_id") for event in alice.events}.isdisjoint(
        {event["thread_id"] for event in bob.events if "thread_id" in event}
    )


def test_025_critical_event_delivery_to_a_watcher_that_sends_nothing(open_chat, user):
    """What a user sees on the phone while the laptop asks: every event of the run, in the laptop's order."""
    laptop, phone = open_chat(user), open_chat(user)
    laptop.send("create_thread")
    thread = laptop.until("thread_created")["thread_id"]
    phone.send("subscribe", thread_id=thread)
    phone.until("subscribed")
    laptop.send("start_agent", user_request="find tracing", thread_id=thread)
    run = phone.until("agent_completed")["run_id"]
    laptop.until("agent_completed")
    assert [e for e in phone.events if e.get("run_id") == run] == [e for e in laptop.events if e.get("run_id") == run]


def test_026_a_thread_of_somebody_else_does_not_exist(open_chat, http, bearer, user):
    alice, bob = open_chat(f"{user}-alice"), open_chat(f"{user}-bob")
    alice.send("create_thread")
    thread = alice.until("thread_created")["thread_id"]
    bob.send("subscribe", thread_id=thread)
    assert bob.until("error_message")["payload"]["code"] == "unknown_thread"
    assert http.get(f"/api/threads/{thread}/messages", headers=bearer(bob.user)).status_code == 404
    assert http.get(f"/api/threads/{thread}/messages", headers=bearer(alice.user)).status_code == 200


def test_027_after_a_reconnect_the_answer_is_still_in_the_thread(open_chat, http, bearer, user):
    before = open_chat(user)
    before.ask("what is 9 * 9?")
    thread = before.events[-1]["thread_id"]
    before.socket.close()
    after = open_chat(user)
    after.send("list_threads")
    assert after.until("threads")["payload"]["threads"] == [thread]
    messages = http.get(f"/api/threads/{thread}/messages", headers=bearer(user)).json()["messages"]
    assert [(message["role"], message["text"]) for message in messages] == [("user", "what is 9 * 9?"), ("agent", "81")]


def test_028_a_tool_that_fails_is_told_and_the_run_goes_on(chat):
    answer = chat.ask("what is 1 / 0? then compute 4 / 2")
    failed, succeeded = [event["payload"] for event in chat.events if event["type"] == "tool_completed"]
    assert (failed["status"], failed["error"]) == ("error", "division by zero")
    assert (succeeded["status"], succeeded["result"]) == ("ok", "2")
    assert answer["tool_errors"] == 1
