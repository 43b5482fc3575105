"""Tests of what was seen of an attempt, on one axis of time."""

from datetime import timedelta

from netra_loop.core.records import Exchange
from netra_loop.core.timeline import shortened, timeline


def attempt(make, *frames, exchanges=(), **more):
    given = {"evidence": make.evidence(*frames, exchanges=exchanges), "message": "closed\nmore", **more}
    return make.result("test_a", **given)


def test_http_frames_and_log_stand_in_the_order_of_time(make):
    asked = Exchange("GET", "http://h:1/health?x=1", 200, make.T0, 0.1)
    frames = (make.frame("open", second=1), make.event("start_agent", 2, "sent"), make.closed(1011, 4, "oops"))
    told = timeline(attempt(make, *frames, exchanges=(asked,)), [make.entry("no pool", 3)])
    assert [(one.after_s, one.source, one.text) for one in told] == [
        (0.1, "http", "GET /health -> 200 in 0.10 s"),
        (1.0, "websocket", "open /ws"),
        (2.0, "websocket", "sent start_agent"),
        (3.0, "log", "backend ERROR no pool"),
        (4.0, "websocket", "the server closes with 1011 (oops)"),
        (7.0, "test", "failed: closed"),
    ]
    assert [one.text for one in told if one.telling] == [
        "backend ERROR no pool",
        "the server closes with 1011 (oops)",
        "failed: closed",
    ]


def test_a_trace_is_told_by_what_it_says_in_the_end(make):
    lines = make.TRACEBACK.splitlines()
    pieces = [make.entry(line, 3, insert_id=f"{place:03d}") for place, line in enumerate(lines)]
    (whole,) = [one for one in timeline(attempt(make), [make.entry(make.TRACEBACK, 3)]) if one.source == "log"]
    (joined,) = [one for one in timeline(attempt(make), pieces) if one.source == "log"]
    said = "AttributeError: 'NoneType' object has no attribute 'create'"
    assert whole.text.endswith(said)
    assert joined.text == f"backend ERROR {said}"


def test_the_same_many_times_is_one_with_its_number(make):
    frames = [make.event("ping", second) for second in range(5)]
    told = timeline(attempt(make, *frames), [])
    assert [(one.text, one.times) for one in told] == [("received ping", 5), ("failed: closed", 1)]


def test_of_very_much_what_failed_and_what_is_near_it_stays(make):
    frames = [make.event(f"event_{number}", number / 100) for number in range(200)]
    told = timeline(attempt(make, *frames, duration_s=100.0), [make.entry("no pool", 1.505)])
    kept, left_out = shortened(told, 20)
    assert (len(kept), left_out) == (20, len(told) - 20)
    assert [one.text for one in kept if one.telling] == ["backend ERROR no pool", "failed: closed"]
    assert {"received event_0", "received event_150", "received event_151"} <= {one.text for one in kept}
    assert [one.at for one in kept] == sorted(one.at for one in kept)


def test_each_stays_on_one_line_of_bounded_length(make):
    told = timeline(attempt(make, message="x\n" * 3), [make.entry("a\n b " * 1000, 1)])
    assert all("\n" not in one.text and len(one.text) <= 300 for one in told)
    assert told[0].at - make.T0 == timedelta(seconds=1)
