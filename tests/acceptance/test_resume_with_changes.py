"""What may change between a stop and a resume, and what may not."""

from __future__ import annotations

import shlex

import pytest

LOOP = """
version: 1
name: plain
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 2, timeout: 20s}
tiers: [{name: A, select: {keyword: test_a}}, {name: rest, select: all}]
phases:
  first: {uses: run, with: {command: [FIRST]}}
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: gate, unmet: stop}}
  gate: {uses: run, with: {command: "GATE"}, next: {ok: done}}
goal: {authenticity: off}
"""


@pytest.fixture
def loop(project):
    """Writes the loop file with these commands in it."""
    (project.folder / "loops").mkdir()
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")

    def write(first='"true"', gate="true"):
        (project.folder / "loops" / "plain.yaml").write_text(LOOP.replace("FIRST", first).replace("GATE", gate))
        return project

    return write


def test_a_mended_loop_file_is_what_a_resume_goes_on_with(loop):
    project = loop(first='"${env.NOT_SET}"')
    broken = project.call("run", "plain", "--plain")
    assert broken.returncode == 2
    assert "NOT_SET" in broken.stderr
    loop()
    mended = project.call("resume", "--plain")
    assert mended.returncode == 0, mended.stderr
    assert "has changed since" in mended.stderr
    resumed = [row for row in project.json("journal", "latest") if row["event"] == "session_resumed"]
    assert '["true"]' in resumed[0]["detail"]["loop_text"]


def test_a_loop_file_broken_meanwhile_is_told_and_changes_nothing(loop):
    project = loop(first='"${env.NOT_SET}"')
    project.call("run", "plain", "--plain")
    events = len(project.json("journal", "latest"))
    (project.folder / "loops" / "plain.yaml").write_text("version: 1\nname: plain\nphases: [\n")
    assert project.call("resume", "--plain").returncode == 2
    assert len(project.json("journal", "latest")) == events


def test_a_gate_that_fails_after_the_goal_is_no_success_and_is_heard(loop):
    project = loop(gate="echo gate-says-no; exit 3")
    done = project.call("run", "plain", "--plain")
    assert done.returncode == 1, done.stderr
    assert "gate-says-no" in done.stderr
    assert project.status()["state"] == "unmet"


def test_continue_takes_up_its_own_loop_file_s_session_only(loop):
    project = loop(first='"${env.NOT_SET}"')
    project.call("run", "plain", "--plain")
    other = project.folder / "loops" / "other.yaml"
    other.write_text(LOOP.replace("FIRST", '"true"').replace("GATE", "true"))
    assert project.call("run", "other", "--plain", "--continue").returncode == 0
    assert len(project.json("list")) == 2
    loop()
    assert project.call("run", "plain", "--plain", "--continue").returncode == 0
    assert len(project.json("list")) == 2
    assert project.call("run", "plain", "--plain", "--continue").returncode == 0
    assert len(project.json("list")) == 3


def test_the_resume_command_that_is_shown_works_where_it_is_shown(loop, tmp_path, project):
    loop(first="sleep, 60")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    at_home, project.folder = project.folder, elsewhere
    paused = project.call("run", str(at_home / "loops" / "plain.yaml"), "--plain", "--budget", "1s")
    assert paused.returncode == 75, paused.stderr
    shown = shlex.split(paused.stderr.splitlines()[-1])
    assert shown[0] == "netra-loop"
    (at_home / "loops" / "plain.yaml").write_text(LOOP.replace("FIRST", '"true"').replace("GATE", "true"))
    resumed = project.call(*shown[1:], "--plain")
    assert resumed.returncode == 0, resumed.stderr


def test_a_tier_cannot_be_chosen_after_the_selection(loop):
    project = loop()
    (project.folder / "tests" / "test_slow.py").write_text("import time\ndef test_c(): time.sleep(60)\n")
    running = project.start("run", "plain", "--plain")
    assert project.wait_until(lambda: project.stored("SELECT count(*) FROM attempts") > 0, running)
    running.terminate()
    assert running.wait(timeout=60) == 75
    late = project.call("resume", "--plain", "--only", "A")
    assert late.returncode == 2, late.stderr
    assert "comes too late" in late.stderr


def test_a_revision_is_never_tested_as_something_it_is_not(demo):
    """Other variables than the deployed revision was made with are refused, and the session stays as it was."""
    process = demo.start("run", "golden-path", "--plain")
    assert demo.wait_until(lambda: demo.stored("select count(*) from attempts") >= 1, process)
    demo.kill_group(process)
    refused = demo.call("resume", "--plain", "--var", "defect=orchestrator")
    assert refused.returncode == 2, refused.stderr
    assert "have changed since" in refused.stderr
    assert demo.call("resume", "--plain", "--var", "user=somebody-else").returncode == 0
