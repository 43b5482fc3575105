"""Of a flood, what matters is kept, and what is not is counted."""

from __future__ import annotations

from netra_loop.agent import evidence
from netra_loop.agent.record import EACH, thin
from netra_loop.execution.pool_result import Seen

MANY = 4 * EACH


def flood():
    evidence.begin("0" * 32, lambda news: news())
    for number in range(MANY):
        event = {MANY // 2: "error", MANY // 2 + 1: "agent_started"}.get(number, "token")
        evidence.frame("ws://host/", "text", "received", event=event)
        entry = evidence.exchange("GET", f"http://host/{number}")
        evidence.answered(entry, 503 if number == MANY // 2 else 200)
    return evidence.end()


def test_the_beginning_the_end_and_what_matters_between_are_kept():
    seen = flood()
    kept = [int(entry["url"].rpartition("/")[2]) for entry in seen["exchanges"]]
    assert kept == [*range(EACH), MANY // 2, *range(MANY - EACH, MANY)]
    assert {frame["event"] for frame in seen["frames"]} == {"token", "error", "agent_started"}
    assert len(seen["frames"]) == 2 * EACH + 2


def test_what_is_left_out_is_told_with_the_output():
    seen = flood()
    assert seen["left_out"] == [MANY - 2 * EACH - 1, MANY - 2 * EACH - 2]
    said = Seen()
    said.take({"exchanges": [], "frames": [], **{name: seen[name] for name in ("contacts", "left_out")}})
    assert f"{seen['left_out'][0]} exchanges and {seen['left_out'][1]} frames" in said.gaps()


def test_who_is_told_as_it_happens_keeps_as_little():
    rows = {number: {"status": 500 if number == MANY else 200} for number in range(2 * MANY)}
    thin(rows, lambda row: row["status"] >= 500)
    assert sorted(rows) == [*range(EACH), MANY, *range(2 * MANY - EACH, 2 * MANY)]
