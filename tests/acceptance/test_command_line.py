"""What is typed wrong is said in one go, with exit 2 and without a traceback."""

from __future__ import annotations

import json
import subprocess

import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "no-such-loop"),
        ("run", "golden-path", "--env", "moon"),
        ("run", "golden-path", "--only", "P9"),
        ("run", "golden-path", "--var", "defcet=x"),
        ("run", "golden-path", "--var", "defect"),
        ("run", "golden-path", "--budget", "soon"),
        ("run", "golden-path", "--session-name", "-rf"),
        ("resume", "no-such-session"),
        ("resume",),
        ("results", "latest"),
        ("status", "nothing"),
        ("validate", "loops/none.yaml"),
    ],
)
def test_a_mistake_ends_with_two_and_says_what_to_type(demo, arguments):
    done = demo.call(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) >= 2


def test_a_loop_file_s_mistakes_are_all_told_with_their_places(demo):
    loop = demo.folder / "loops" / "bad.yaml"
    loop.write_text(
        "version: 1\nname: bad\ntest: {paths: [x]}\nworkspace: {git: wortree}\nphases:\n  a: {uses: selct}\n"
    )
    done = demo.call("validate", "bad")
    assert done.returncode == 2
    assert "bad.yaml:3:1" in done.stderr
    assert "'tests'" in done.stderr
    assert "'worktree'" in done.stderr
    assert "'select'" in done.stderr


def test_the_schema_is_json_and_the_shipped_loop_is_valid(demo):
    assert json.loads(demo.call("schema").stdout)["$schema"].startswith("https://json-schema.org/")
    assert demo.call("validate", "golden-path").returncode == 0


@pytest.fixture(scope="module")
def one_tier(shared_demo):
    """A project with a session of one tier in it."""
    assert shared_demo.call("run", "golden-path", "--plain", "--only", "P1").returncode == 1
    return shared_demo


def test_list_and_status_read_the_same_session(one_tier):
    demo = one_tier
    (row,) = demo.json("list")
    status = demo.status()
    assert row["session"] == status["session"]
    assert status["state"] != "met"
    assert set(status) == {
        "session", "loop", "environment", "state", "iteration", "phase", "started_at", "updated_at", "revisions",
        "tests", "tiers", "findings", "logs", "exit_code",
    }  # fmt: skip
    assert demo.call("results", "latest").stdout.count("tests/test_priority1_critical.py::") > 5
    assert status["session"] in demo.call("list").stdout


def test_the_reader_of_a_listing_may_go_away(one_tier):
    demo = one_tier
    listing = subprocess.Popen(
        demo.command("journal", "latest", "--json"), cwd=demo.folder, env=demo.environ(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    listing.stdout.close()
    assert listing.wait(30) == 0
    assert "Traceback" not in listing.stderr.read()
    listing.stderr.close()


def test_a_secret_in_the_loop_file_or_on_the_command_line_is_not_shown_by_the_journal(demo):
    loop = demo.folder / "loops" / "golden-path.yaml"
    text = loop.read_text().replace('  defect: ""', '  defect: ""\n  api_token: "none"')
    loop.write_text(
        text.replace('      DEFECT: "${vars.defect}"', '      DEFECT: "${vars.defect}"\n      API_KEY: pl4nted-s3cret')
    )
    demo.call("run", "golden-path", "--plain", "--only", "P1", "--var", "api_token=an0ther-pl4nted-one")
    shown = demo.call("journal", "latest", "--json").stdout + demo.call("journal", "latest").stdout
    assert "session_started" in shown
    assert "pl4nted" not in shown
