"""`journal --verify` and `--restore`, `list --prune`: as a user calls them."""

from __future__ import annotations

import json
import re
import shlex
import signal

import pytest

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
SOME = """
import os, time
def test_some():
    while os.path.exists("wait"): time.sleep(0.05)
"""


@pytest.fixture
def plain(project):
    for name, text in {"loops/plain.yaml": LOOP, "tests/test_some.py": SOME}.items():
        file = project.folder / name
        file.parent.mkdir()
        file.write_text(text)
    return project


def run(project, name):
    done = project.call("run", "plain", "--plain", "--session-name", name)
    assert done.returncode == 0, done.stderr


def test_a_whole_store_is_said_to_be_and_a_damaged_one_offers_a_snapshot_that_restores_it(plain):
    run(plain, "first")
    run(plain, "second")
    verified = plain.call("journal", "first", "--verify")
    assert verified.returncode == 0, verified.stderr
    assert re.fullmatch(
        r"first: \d+ events, chain whole, head [0-9a-f]{64}; \d+ rows beside it read\n", verified.stdout
    )
    assert [row["session"] for row in plain.json("journal", "--verify")] == ["second", "first"]

    store = plain.folder / ".netra-loop" / "journal.db"
    raw = store.read_bytes()
    place = raw.rindex(b'"summary"')
    store.write_bytes(raw[:place] + b"!" + raw[place + 1 :])
    damaged = plain.call("journal", "--verify", "--json")
    assert damaged.returncode == 5
    whole = {row["session"]: row["whole"] for row in map(json.loads, damaged.stdout.splitlines())}
    assert sorted(whole.values()) == [False, True]
    command = shlex.split(damaged.stderr.splitlines()[-1].split(": ", 1)[1])
    assert command[0] == "netra-loop"
    restored = plain.call(*command[1:])
    assert restored.returncode == 0, restored.stderr
    assert plain.call("journal", "--verify").returncode == 0
    assert len(list(store.parent.glob("journal.db.damaged-*"))) >= 1
    run(plain, "third")


def typed(error):
    """The words of the command that an error's last line ends with, without the program's name."""
    words = shlex.split(error.splitlines()[-1].rsplit(": ", 1)[-1])
    assert words[0] == "netra-loop"
    return words[1:]


@pytest.mark.parametrize("kept", [[], ["--store", "kept here/nights.db"]], ids=["default", "elsewhere"])
def test_a_missing_store_is_never_begun_anew_and_what_is_said_puts_it_back(plain, kept):
    done = plain.call("run", "plain", "--plain", "--session-name", "first", *kept)
    assert done.returncode == 0, done.stderr
    store = plain.folder / (kept[1] if kept else ".netra-loop/journal.db")
    store.unlink()
    for words in (["list"], ["status"], ["resume"], ["run", "plain", "--plain"], ["run", "plain", "--continue"]):
        called = plain.call(*words, *kept)
        assert called.returncode == 5, (words, called.stderr)
        assert "is missing, and there was one" in called.stderr
        assert not store.exists()
    restored = plain.call(*typed(called.stderr))
    assert restored.returncode == 0, restored.stderr
    assert [row["session"] for row in plain.json("list", *kept)] == ["first"]
    assert plain.call("journal", "--verify", *kept).returncode == 0


def test_what_is_said_of_a_held_session_names_the_store(plain):
    kept = ["--store", "kept here/nights.db"]
    (plain.folder / "wait").touch()
    running = plain.start("run", "plain", "--plain", "--session-name", "first", *kept)
    assert plain.wait_until(lambda: plain.call("status", *kept).returncode == 0, running)
    held = plain.call("resume", "first", *kept)
    assert held.returncode == 5
    assert typed(held.stderr) == [*kept, "resume", "first", "--takeover"]
    assert plain.call(*typed(held.stderr)[:-1]).returncode == 5
    (plain.folder / "wait").unlink()
    assert running.wait(60) == 0


def test_journal_wants_to_know_of_what(plain):
    run(plain, "first")
    assert plain.call("journal").returncode == 2
    assert plain.call("journal", "first", "--restore", "x").returncode == 2
    assert plain.call("journal", "--restore", "no-such-file").returncode == 2


def test_prune_removes_what_is_too_many_and_nothing_that_runs(plain):
    for name in ("first", "second"):
        run(plain, name)
    (plain.folder / "wait").touch()
    running = plain.start("run", "plain", "--plain", "--session-name", "third")
    assert plain.wait_until(lambda: plain.stored("select count(*) from attempts where session = 'third'") >= 1, running)
    plain.suspend(running)
    state = plain.folder / ".netra-loop" / "sessions"
    (state / "first" / "left.txt").write_text("of the cloud")

    assert plain.call("list", "--prune", "--keep", "0").returncode == 2  # nobody there to agree
    dry = plain.call("list", "--prune", "--keep", "0", "--dry-run")
    assert [line.split()[2] for line in dry.stdout.splitlines()] == ["second", "first"]
    assert plain.call("list", "--prune", "--yes").stdout == ""  # none is thirty days old
    assert len(plain.json("list")) == 3

    done = plain.call("list", "--prune", "--keep", "0", "--yes")
    assert done.returncode == 0, done.stderr
    assert [row["session"] for row in plain.json("list")] == ["third"]
    assert sorted(path.name for path in state.iterdir()) == ["third", "third.lock"]
    running.send_signal(signal.SIGCONT)
    (plain.folder / "wait").unlink()
    assert running.wait(60) == 0
    assert plain.call("journal", "--verify").returncode == 0


def test_the_options_of_prune_are_nothing_without_it(plain):
    assert plain.call("list", "--keep", "1").returncode == 2
    assert plain.call("list", "--prune", "--older-than", "soon").returncode == 2


def test_who_only_looks_at_a_mistyped_store_makes_none(plain):
    run(plain, "first")
    before = {path for path in plain.folder.rglob("*") if ".netra-loop" not in path.parts}
    for command in (["list"], ["list", "--prune", "--yes"], ["status"], ["results", "first"], ["stop", "first"],
                    ["journal", "--verify"], ["resume"]):  # fmt: skip
        done = plain.call("--store", "typo/jornal.db", *command)
        assert done.returncode == 5, command
        assert "typo/jornal.db" in done.stderr
        assert f"found nearby: {str(plain.folder / '.netra-loop' / 'journal.db')!r}" in done.stderr
    for command in (["list"], ["doctor"], ["run", "plain", "--plain"]):
        done = plain.call("--store", "postgres//me:s3cret@host/db", *command)
        assert done.returncode in {2, 3}
        assert "s3cret" not in done.stdout + done.stderr
    assert {path for path in plain.folder.rglob("*") if ".netra-loop" not in path.parts} == before


def test_a_session_of_another_store_keeps_its_folder_and_its_name(plain):
    run(plain, "first")
    other = ("--store", str(plain.folder / "other" / "night.db"))
    again = plain.call(*other, "run", "plain", "--plain", "--session-name", "first")
    assert again.returncode == 5
    assert "is that of session 'first' of another store" in again.stderr
    done = plain.call(*other, "run", "plain", "--plain", "--session-name", "second")
    assert done.returncode == 0, done.stderr
    plain.call("list", "--prune", "--keep", "0", "--yes")
    state = plain.folder / ".netra-loop" / "sessions"
    assert [path.name for path in state.iterdir()] == ["second"]
    assert [row["session"] for row in plain.json(*other, "list")] == ["second"]
