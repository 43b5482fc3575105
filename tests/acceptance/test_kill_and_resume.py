"""kill -9 at any instant, then `resume`: nothing lost, nothing twice."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

EVENTS = "select count(*) from events"
MOMENTS = {
    "deploying": (EVENTS, 2),
    "selecting": (EVENTS, 5),
    "half_way": ("select count(*) from results", 14),
    "collecting": ("select count(*) from events where event = 'logs_read'", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_golden_path_goes_on_where_it_stood(demo, moment):
    question, enough = MOMENTS[moment]
    process = demo.start("run", "golden-path", "--plain")
    reached = demo.wait_until(lambda: demo.stored(question) >= enough, process)
    assert reached, process.stderr.read()
    demo.kill_group(process)
    assert demo.wait_for_nobody() == []
    before = {(row["id"], row["attempt"]): row for row in demo.json("results", "latest")}

    done = demo.call("resume", "--plain")
    assert done.returncode == 0, done.stderr
    rows = demo.json("results", "latest")
    status = demo.status()
    assert {row["id"] for row in rows if row["outcome"] == "passed"} == {row["id"] for row in rows}
    assert len({row["id"] for row in rows}) == status["tests"]["selected"]
    for key, row in before.items():
        assert row == next(again for again in rows if (again["id"], again["attempt"]) == key)
    finished_before = {test for test, _ in before}
    assert [row["id"] for row in rows if row["id"] in finished_before] == [
        row["id"] for row in rows if (row["id"], row["attempt"]) in before
    ]
    ready = [row["detail"] for row in demo.json("journal", "latest") if row["event"] == "revision_ready"]
    assert {detail["revision"] for detail in ready} == {status["revisions"]["backend"]}
    assert demo.wait_for_nobody() == []


@pytest.mark.parametrize("kind", [signal.SIGTERM])
def test_one_signal_pauses_soon_and_says_how_to_resume(demo, kind):
    process = demo.start("run", "golden-path", "--plain")
    assert demo.wait_until(lambda: demo.stored("select count(*) from results") >= 1, process)
    asked = time.monotonic()
    process.send_signal(kind)
    code = process.wait(60)
    took_s = time.monotonic() - asked
    lines = process.stderr.read().splitlines()
    session = demo.status()["session"]
    assert code == 75, lines
    assert took_s < 30
    assert lines[-1] == f"netra-loop resume {session}"
    assert demo.status()["state"] == "paused"
    assert demo.wait_for_nobody() == []
    assert demo.call("resume", "--plain").returncode == 0


def test_a_second_signal_ends_everything_at_once(demo):
    process = demo.start("run", "golden-path", "--plain", "--var", "defect=blocked")
    assert demo.wait_until(lambda: demo.stored("select count(*) from results") >= 1, process)
    process.send_signal(signal.SIGINT)
    assert demo.wait_until(lambda: "stopping" in process.stderr.readline(), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) in {130, 75}
    assert demo.wait_for_nobody() == []


def test_two_resumes_at_once_one_runs_and_the_other_says_who_holds_it(demo):
    process = demo.start("run", "golden-path", "--plain")
    assert demo.wait_until(lambda: demo.stored(EVENTS) >= 2, process)
    second = demo.call("resume", "--plain")
    assert second.returncode == 5
    assert process.poll() is None
    assert re.search(rf"held by process {process.pid}\b", second.stderr)
    assert process.wait(60) == 0
    os.kill(os.getpid(), 0)  # nobody else was signalled
