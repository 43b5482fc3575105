"""A session is taken from a process that hangs; what that one still does when it wakes up."""

from __future__ import annotations

import signal

import psutil
import pytest

EVENTS = "select count(*) from events"
SLOW = """
import time, pytest
@pytest.mark.parametrize("n", range(20))
def test_n(n):
    time.sleep(0.3)
"""
LOOP = """
version: 1
name: plain
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 2, timeout: 30s}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
"""


@pytest.fixture
def slow(project):
    for name, text in {"loops/plain.yaml": LOOP, "tests/test_slow.py": SLOW}.items():
        file = project.folder / name
        file.parent.mkdir()
        file.write_text(text)
    return project


def test_an_owner_that_was_stopped_and_wakes_up_after_a_take_over_writes_nothing(slow):
    old = slow.start("run", "plain", "--plain")
    assert slow.wait_until(lambda: slow.stored("select count(*) from results") >= 2, old)
    slow.suspend(old)
    refused = slow.call("resume", "--plain")
    assert refused.returncode == 5
    assert f"held by process {old.pid} on " in refused.stderr
    assert "--takeover" in refused.stderr

    done = slow.call("resume", "--plain", "--takeover")
    assert done.returncode == 0, done.stderr
    before = slow.json("journal", "latest"), slow.json("results", "latest")
    its_children = psutil.Process(old.pid).children(recursive=True)
    old.send_signal(signal.SIGCONT)
    assert old.wait(60) == 5
    assert "was taken over (our epoch 1, now 2)" in old.stderr.read()
    assert (slow.json("journal", "latest"), slow.json("results", "latest")) == before
    assert [child for child in its_children if child.is_running()] == []
    assert slow.wait_for_nobody() == []
    assert {row["outcome"] for row in before[1]} == {"passed"}
    assert len({row["id"] for row in before[1]}) == 20


def test_a_take_over_while_the_owner_runs_ends_its_work_with_5(slow):
    old = slow.start("run", "plain", "--plain")
    assert slow.wait_until(lambda: slow.stored("select count(*) from results") >= 2, old)
    new = slow.start("run", "plain", "--plain", "--continue", "--takeover")
    assert old.wait(60) == 5
    assert new.wait(60) == 0, new.stderr.read()
    assert slow.status()["state"] == "met"
    assert len({row["id"] for row in slow.json("results", "latest")}) == 20
    assert slow.wait_for_nobody() == []


def test_a_session_that_nobody_holds_is_just_resumed(slow):
    old = slow.start("run", "plain", "--plain")
    assert slow.wait_until(lambda: slow.stored("select count(*) from results") >= 2, old)
    slow.kill_group(old)
    assert slow.call("resume", "--plain", "--takeover").returncode == 0


def test_a_new_session_has_nobody_to_be_taken_from(slow):
    done = slow.call("run", "plain", "--plain", "--takeover")
    assert done.returncode == 2
    assert "run plain --continue --takeover" in done.stderr
    assert not (slow.folder / ".netra-loop").exists()


def test_the_embedded_cloud_and_its_revision_are_taken_along(demo):
    old = demo.start("run", "golden-path", "--plain")
    assert demo.wait_until(lambda: demo.stored("select count(*) from results") >= 1, old)
    demo.suspend(old)
    done = demo.call("resume", "--plain", "--takeover")
    assert done.returncode == 0, done.stderr
    ready = [row["detail"]["revision"] for row in demo.json("journal", "latest") if row["event"] == "revision_ready"]
    assert {*ready} == {demo.status()["revisions"]["backend"]}
    before = demo.json("journal", "latest")
    old.send_signal(signal.SIGCONT)
    assert old.wait(60) == 5, old.stderr.read()
    assert demo.json("journal", "latest") == before
    assert demo.wait_for_nobody() == []
