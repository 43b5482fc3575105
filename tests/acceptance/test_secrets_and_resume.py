"""What a session is told of secrets and does not store: what a resume needs of it, and how it asks."""

from __future__ import annotations

import json
import subprocess

import pytest

PLAIN = """
version: 1
name: asking
vars: {api_key: ""}
environments: {here: {cloud: none}}
tests: {paths: [../tests], env: {GIVEN: "${vars.api_key}", ALSO: "${env.ALSO_KEY:-}"}}
phases: {select: {uses: select}, execute: {uses: execute}, record: {uses: record, next: {met: done, unmet: stop}}}
goal: {authenticity: off}
"""
GIVEN = "import os\ndef test_it(): assert os.environ['GIVEN'] == 'opened \"9\" $X'\n"


@pytest.fixture
def asking(project):
    """A project with the loop above; what its tests do is up to each."""
    for folder in ("loops", "tests"):
        (project.folder / folder).mkdir()
    (project.folder / "loops/asking.yaml").write_text(PLAIN)
    (project.folder / "tests/test_it.py").write_text(GIVEN)
    return project


def call(project, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environ() | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_line_that_a_pause_ends_with_can_be_copied(asking):
    paused = call(asking, "run", "asking", "--plain", "--budget", "1ms", "--var", 'api_key=opened "9" $X')
    assert paused.returncode == 75, paused.stderr
    *_, why, line = paused.stderr.splitlines()
    assert "first set API_KEY to the value of api_key" in why
    assert line.endswith('--var api_key="$API_KEY"')
    unset = call(asking, *line.split()[1:-1], "api_key=")  # what a shell makes of it where API_KEY is not set
    assert (unset.returncode, "api_key is empty now" in unset.stderr) == (2, True), unset.stderr
    missing = call(asking, "resume", "--plain")
    assert missing.returncode == 2
    assert missing.stderr.splitlines()[-1] == line
    assert "opened" not in paused.stderr + unset.stderr + missing.stderr
    shell = " ".join([*map(json.dumps, asking.command()), *line.split()[1:], "--plain"])
    resumed = subprocess.run(
        ["sh", "-c", shell],
        cwd=asking.folder,
        env=asking.environ() | {"API_KEY": 'opened "9" $X'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr


def test_a_plain_secret_is_told_of_and_takes_no_words_away(asking):
    (asking.folder / "tests/test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', ['asking-backend'])\n"
        "def test_it(x): print('backend of asking: DB_PASSWORD=backend')\n"
    )
    ran = call(asking, "run", "asking", "--plain", "--var", "api_key=backend", DB_PASSWORD="backend", X_TOKEN="asking")
    assert ran.returncode == 0, ran.stderr
    assert "the value of vars.api_key is too plain to be hidden wherever it appears" in ran.stderr
    (result,) = [json.loads(line) for line in call(asking, "results", "latest", "--json").stdout.splitlines()]
    assert result["id"] == "tests/test_it.py::test_it[asking-backend]"
    shown = call(asking, "results", "latest", "--test", "test_it").stdout
    assert "backend of asking: DB_PASSWORD=[redacted]" in shown


def test_names_that_differ_only_in_a_secret_are_tests_of_their_own_in_each_process(asking):
    (asking.folder / "tests/test_it.py").write_text(
        "import os, pytest\n@pytest.mark.parametrize('x', ['open-sesame-1', 'open-sesame-2', 'plain'])\n"
        "def test_it(x): assert x != 'open-sesame-2' and os.environ['GIVEN']\n"
    )
    one, two = {"ONE_TOKEN": "open-sesame-1"}, {"TWO_TOKEN": "open-sesame-2"}
    paused = call(asking, "run", "asking", "--plain", "--budget", "1ms", "--var", "api_key=opened-9", **one, **two)
    assert paused.returncode == 75, paused.stderr
    ended = call(asking, "resume", "--plain", "--var", "api_key=opened-9", **one, **two)
    assert ended.returncode == 1, ended.stderr
    results = [json.loads(line) for line in call(asking, "results", "latest", "--json").stdout.splitlines()]
    outcomes = {result["id"].removeprefix("tests/test_it.py::"): result["outcome"] for result in results}
    assert (
        len(outcomes) == len(results) == json.loads(call(asking, "status", "--json").stdout)["tests"]["selected"] == 3
    )
    (failed,) = [name for name, outcome in outcomes.items() if outcome == "failed"]
    assert failed.startswith("test_it[[redacted]] #")
    (only,) = [
        json.loads(line) for line in call(asking, "results", "latest", "--json", "--test", failed).stdout.splitlines()
    ]
    assert only["id"] == f"tests/test_it.py::{failed}"


def test_a_secret_that_is_not_set_any_more_and_not_needed_is_no_reason_to_refuse(asking):
    loop = asking.folder / "loops/asking.yaml"
    loop.write_text(PLAIN.replace("env: {", 'env: {SAID: "it is k9f8e7d6c5b4a3f2e1d0", '))
    (asking.folder / "tests/test_it.py").write_text("def test_it(): print('said k9f8e7d6c5b4a3f2e1d0')\n")
    paused = call(asking, "run", "asking", "--plain", "--budget", "1ms", GONE_TOKEN="k9f8e7d6c5b4a3f2e1d0")
    assert paused.returncode == 75, paused.stderr
    resumed = call(asking, "resume", "--plain")
    assert resumed.returncode == 0, resumed.stderr
    assert "has changed since" not in resumed.stderr
    kept = [path for path in (asking.folder / ".netra-loop").rglob("*") if path.is_file()]
    assert [path for path in kept if b"k9f8e7d6c5b4a3f2e1d0" in path.read_bytes()] == []
    assert "said [redacted]" in call(asking, "results", "latest", "--test", "test_it").stdout


WAITS = """
import pathlib, pytest, signal
def test_it():
    while not pathlib.Path("go").exists():
        pathlib.Path("at").touch()
        signal.pause()
"""


def test_tests_keep_their_names_though_nobody_tells_of_the_secret_in_them_any_more(asking, monkeypatch):
    (asking.folder / "tests/test_it.py").write_text(
        WAITS.replace(
            "def test_it():", "@pytest.mark.parametrize('x', ['open-sesame-1', 'open-sesame-2'])\ndef test_it(x):"
        )
        + "    print(x)\n"
    )
    monkeypatch.setenv("ONE_TOKEN", "open-sesame-1")
    monkeypatch.setenv("TWO_TOKEN", "open-sesame-2")
    running = asking.start("run", "asking", "--plain")
    assert asking.wait_until((asking.folder / "at").exists, running)
    running.terminate()
    assert running.wait() == 75
    (asking.folder / "go").touch()
    monkeypatch.delenv("ONE_TOKEN")
    monkeypatch.delenv("TWO_TOKEN")
    resumed = call(asking, "resume", "--plain")
    assert resumed.returncode == 0, resumed.stderr
    kept = [path for path in (asking.folder / ".netra-loop").rglob("*") if path.is_file()]
    assert [path for path in kept if b"open-sesame" in path.read_bytes()] == []


SERVED = """
version: 1
name: asking
services:
  backend:
    source: .
    command: exec python -m http.server $PORT --bind 127.0.0.1
    env: {DB_PASSWORD: "${env.DB_PASSWORD}", MODE: demo-mode-1}
tests: {paths: [../tests]}
phases:
  deploy: {uses: deploy}
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
limits: {iterations: 1}
"""


def test_a_secret_that_is_needed_is_asked_for_by_name(asking, monkeypatch):
    (asking.folder / "loops/asking.yaml").write_text(SERVED)
    (asking.folder / "tests/test_it.py").write_text(WAITS)
    monkeypatch.setenv("DB_PASSWORD", "open-sesame-1")
    running = asking.start("run", "asking", "--plain")
    assert asking.wait_until((asking.folder / "at").exists, running)
    running.terminate()
    assert running.wait() == 75
    (asking.folder / "go").touch()
    monkeypatch.delenv("DB_PASSWORD")
    refused = call(asking, "resume", "--plain")
    assert refused.returncode == 2, refused.stderr
    assert "variable 'DB_PASSWORD' is not set, used at services.backend.env.DB_PASSWORD" in refused.stderr
    resumed = call(asking, "resume", "--plain", DB_PASSWORD="open-sesame-1")
    assert resumed.returncode == 0, resumed.stderr
