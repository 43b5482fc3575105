"""The disk fills up in the middle of a session, and is made larger afterwards."""

from __future__ import annotations

import os
import re
import resource
import subprocess

import pytest

LOOP = """
version: 1
name: plain
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 2, timeout: 30s, retries: 0}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
"""
LOUD = """
import os, pytest
@pytest.mark.parametrize("n", range(60))
def test_n(n): print(os.urandom(100_000).hex())
"""


@pytest.fixture
def loud(project):
    """Tests that say 12 MB in all, which no compression makes much less of."""
    for name, text in {"loops/plain.yaml": LOOP, "tests/test_loud.py": LOUD}.items():
        file = project.folder / name
        file.parent.mkdir()
        file.write_text(text)
    return project


@pytest.fixture
def small_disk(loud):
    store = loud.folder / ".netra-loop"
    store.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(store)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield store
    subprocess.run(["umount", store], check=True)


def test_the_stop_is_recorded_and_the_session_goes_on_once_there_is_room(loud, small_disk):
    full = loud.call("run", "plain", "--plain")
    assert full.returncode == 75, full.stderr
    session = loud.status()["session"]
    assert full.stderr.splitlines()[-1] == f"netra-loop resume {session}"
    assert re.search(r"the disk is full \(\d+ KiB free\), expected 16 MiB at least", full.stderr)
    assert loud.status()["state"] == "paused"
    assert loud.json("journal", session)[-1]["event"] == "session_paused"
    assert not (small_disk / "reserve").exists()
    assert loud.call("journal", session, "--verify").returncode == 0
    before = loud.json("results", session)

    again = loud.call("resume", "--plain")  # still full: nothing is made worse
    assert again.returncode == 75, again.stderr
    assert again.stderr.splitlines()[-1] == f"netra-loop resume {session}"
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = loud.call("resume", "--plain")
    assert done.returncode == 0, done.stderr
    assert (small_disk / "reserve").stat().st_blocks * 512 >= 1024 * 1024
    after = loud.json("results", session)
    assert len({row["id"] for row in after}) == 60
    assert {row["outcome"] for row in after} == {"passed"}
    assert [row for row in after if row in before] == before
    assert loud.call("journal", session, "--verify").returncode == 0


def test_a_limit_on_the_size_of_files_is_no_room_either(loud):
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    full = subprocess.run(
        loud.command("run", "plain", "--plain"), cwd=loud.folder, env=loud.environ(), text=True, capture_output=True,
        preexec_fn=limited, timeout=120, check=False,
    )  # fmt: skip
    assert full.returncode == 75, full.stderr
    session = loud.status()["session"]
    assert full.stderr.splitlines()[-1] == f"netra-loop resume {session}"
    assert loud.call("journal", session, "--verify").returncode == 0
    assert loud.call("resume", "--plain").returncode == 0
