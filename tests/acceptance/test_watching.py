"""A session in one process, and others that look on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime

import pytest

from netra_loop.clock import from_rfc3339

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def looked_on(shared_demo):
    """A session with tests that hang, and what its onlookers saw."""
    loop = shared_demo.folder / "loops" / "golden-path.yaml"
    loop.write_text(loop.read_text().replace("timeout: 8s", "timeout: 4s"))
    session = shared_demo.start("run", "golden-path", "--plain", "--only", "P1", "--var", "defect=blocked")
    assert shared_demo.wait_until(lambda: shared_demo.stored("SELECT count(*) FROM sessions") == 1, session)
    onlookers = {
        name: subprocess.Popen(
            shared_demo.command(*words), cwd=shared_demo.folder, env=shared_demo.environ(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            bufsize=0,  # `communicate` knows nothing of what `readline` would have read ahead
        )
        for name, words in {
            "logs": ("logs", "latest", "--follow", "--json"),
            "watch": ("watch", "--plain", "--exit-status"),
            "leaves": ("watch", "latest", "--plain"),
            "stops reading": ("logs", "latest", "-f"),
        }.items()
    }  # fmt: skip
    first = onlookers["logs"].stdout.readline()
    seen_at = datetime.now(UTC)
    onlookers["leaves"].stdout.readline()
    os.kill(onlookers["leaves"].pid, signal.SIGINT)
    onlookers["stops reading"].stdout.readline()
    onlookers["stops reading"].stdout.close()
    onlookers["stops reading"].stdout = None
    gone = onlookers.pop("stops reading")
    left_while_running = gone.wait(PATIENCE_S), session.poll()
    gone.stderr.close()
    said = {
        name: (*(told.decode() for told in one.communicate(timeout=PATIENCE_S)), one.returncode)
        for name, one in onlookers.items()
    }
    session.communicate(timeout=PATIENCE_S)
    said["logs"] = (first.decode() + said["logs"][0], *said["logs"][1:])
    return shared_demo, session.returncode, said, seen_at, left_while_running


def test_entries_are_printed_while_the_tests_run_and_each_once(looked_on):
    project, _, said, seen_at, _ = looked_on
    (ended,) = [
        row for row in project.json("journal", "latest")
        if (row["event"], row["phase"]) == ("phase_finished", "execute")
    ]  # fmt: skip
    assert seen_at < from_rfc3339(ended["at"])
    out, err, code = said["logs"]
    followed = [json.loads(line) for line in out.splitlines()]
    keys = [(row["log"], row["timestamp"], row["insert_id"]) for row in followed]
    stored = {(row["log"], row["timestamp"], row["insert_id"]) for row in project.json("logs", "latest")}
    assert (sorted(stored - set(keys)), sorted(set(keys) - stored), err, code) == ([], [], "", 0)
    assert len(keys) == len(stored)


def test_the_session_counts_its_entries_once_and_finds_them_complete(looked_on):
    project, _, _, _, _ = looked_on
    assert project.status()["logs"] == {"entries": len(project.json("logs", "latest")), "complete": True}


def test_watching_shows_the_session_to_its_end_and_ends_as_it_does(looked_on):
    _, code, said, _, _ = looked_on
    out, err, watched = said["watch"]
    assert (code, watched, err) == (1, 1, "")
    assert "[1] TIMEOUT tests/test_priority1_critical.py::" in out
    assert "[1] collect: the logs are complete" in out
    assert out.splitlines()[-1].startswith("unmet")


def test_leaving_is_130_and_leaves_the_session_alone(looked_on):
    _, code, said, _, _ = looked_on
    _, err, left = said["leaves"]
    assert (left, code) == (130, 1)
    assert "goes on; look again with: netra-loop watch golden-path-" in err


def test_a_reader_that_goes_away_ends_the_following_alone(looked_on):
    *_, left_while_running = looked_on
    assert left_while_running == (0, None)


def test_what_is_over_is_shown_and_ends(looked_on):
    project, *_ = looked_on
    assert project.call("watch", "--plain").returncode == 0
    errors = project.call("logs", "latest", "-f", "--severity", "warning").stdout.splitlines()
    assert errors
    assert all(line.split()[1] in {"WARNING", "ERROR", "CRITICAL"} for line in errors)
    assert project.call("logs", "latest", "-f", "--service", "nobody").stdout == ""


@pytest.mark.parametrize("words", [("--severity", "loud"), ("--groups", "--follow")])
def test_what_cannot_be_meant_is_refused(looked_on, words):
    project, *_ = looked_on
    done = project.call("logs", "latest", *words)
    assert (done.returncode, done.stdout) == (2, "")
