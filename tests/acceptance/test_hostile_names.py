"""Names and values that a shell, a program or a file system would take for something else: they stay what they are."""

from __future__ import annotations

import json

import pytest

EVIL = ["$(touch hit)`touch hit`; touch hit #'\"| touch hit\n& touch hit", "--help", "-o=\x1b[31m"]
LOOP = """
version: 1
name: plain
vars: {value: ""}
environments: {here: {cloud: none}}
tests: {paths: ["../tests/-x; touch hit.py", ../tests/test_it.py], workers: 1}
phases:
  say: {uses: run, with: {command: "printf '<%s>' ${vars.value} \\"${vars.value}\\" '${vars.value}'"}}
  list: {uses: run, with: {command: [printf, "<%s>", "--", "${vars.value}"]}}
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
"""


@pytest.fixture
def plain(project):
    for folder in ("loops", "tests"):
        (project.folder / folder).mkdir()
    (project.folder / "loops/plain.yaml").write_text(LOOP)
    (project.folder / "tests/test_it.py").write_text("def test_it(): pass\n")
    (project.folder / "tests/-x; touch hit.py").write_text("def test_odd(): pass\n")
    return project


def paths(project) -> set[str]:
    return {
        str(path.relative_to(project.folder)) for path in project.folder.rglob("*") if ".netra-loop" not in path.parts
    }


@pytest.mark.parametrize("value", EVIL)
def test_a_value_reaches_a_command_as_it_is(plain, value):
    ran = plain.call("run", "plain", "--plain", f"--var=value={value}")
    assert ran.returncode == 0, ran.stderr
    assert not any(
        "hit" in path and path != "tests/-x; touch hit.py" for path in paths(plain) if "__pycache__" not in path
    )
    said = [
        event["detail"]["facts"]["output"]
        for event in plain.json("journal", "latest")
        if event["event"] == "phase_finished" and event["phase"] in {"say", "list"}
    ]
    assert said == [f"<{value}>" * 3, f"<--><{value}>"]
    assert {result["outcome"] for result in plain.json("results", "latest")} == {"passed"}


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ("run", "plain", "--session-name", name)
            for name in ("../../x", "a/b", "-x", "a b", "$(touch hit)", "..", "A")
        ),
        ("run", "plain", "--only", "$(touch hit)"),
        ("run", "plain", "--env", "; touch hit"),
        ("run", "plain", "--var", "$(touch hit)=x"),
        ("run", "--", "../$(touch hit)"),
        ("run", "--", "-x"),
    ],
)
def test_a_name_that_is_none_is_refused_before_anything(plain, arguments):
    before = paths(plain)
    refused = plain.call(*arguments, "--plain") if "--" not in arguments else plain.call(*arguments)
    assert refused.returncode == 2, refused.stderr
    assert paths(plain) == before
    assert not (plain.folder / ".netra-loop").exists()
    assert not (plain.folder.parent / "x").exists()


def test_a_session_or_a_test_that_is_none_is_only_a_question(plain):
    assert plain.call("run", "plain", "--plain", "--session-name", "known").returncode == 0
    before = paths(plain)
    for name in ("../../x", "$(touch here)", "\x1b[2J", "latest; rm", "%s"):
        for arguments in (["status", "--", name], ["results", "known", "--test", name]):
            asked = plain.call(*arguments)
            assert asked.returncode in {2, 5}, asked.stderr
            assert "\x1b" not in asked.stdout + asked.stderr
    assert plain.call("resume", "--", "$(touch here)").returncode in {2, 5}
    assert paths(plain) == before


@pytest.mark.parametrize("place", [".netra-loop", ".netra-loop/sessions", ".netra-loop/sessions/known"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(plain, place):
    elsewhere = plain.folder.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    link = plain.folder / place
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    refused = plain.call("run", "plain", "--plain", "--session-name", "known")
    assert refused.returncode == 5, refused.stderr
    assert str(link) in refused.stderr
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_a_lock_is_not_followed(plain):
    target = plain.folder.parent / "target"
    target.write_text(json.dumps({"mine": 1}))
    sessions = plain.folder / ".netra-loop/sessions"
    sessions.mkdir(mode=0o700, parents=True)
    sessions.parent.chmod(0o700)
    (sessions / "known.lock").symlink_to(target)
    assert plain.call("run", "plain", "--plain", "--session-name", "known").returncode == 5
    assert json.loads(target.read_text()) == {"mine": 1}
