"""What a killed orchestrator leaves is ended and removed at the next start, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from netra_loop import cgroups, processes
from netra_loop.execution import pool_folder
from netra_loop.processes import identify

_MAKE_AND_DIE = """
import os, signal, subprocess, sys
from pathlib import Path
from netra_loop import cgroups
from netra_loop.execution import pool_folder
folder = pool_folder.make()
group = cgroups.make() if sys.argv[2] == "cgroup" else None
record = pool_folder.Record.new(folder.name, group)
record.write(folder, Path(sys.argv[1]))
def sleep(mark):
    quiet = {"stdout": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen(["sleep", "300"], env={pool_folder.MARK: mark}, **quiet).pid
pids = [sleep(record.mark)]
if group is not None:
    pids.append(sleep(""))
    (group.path / "cgroup.procs").write_text(str(pids[-1]))
print(folder, *pids, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    parent, scratch = tmp_path / "temporary", tmp_path / "session"
    parent.mkdir()
    scratch.mkdir()
    return parent, scratch


def make_and_die(parent: Path, scratch: Path, how: str = "plain") -> tuple[Path, list[processes.ProcessIdentity]]:
    run = subprocess.run(
        [sys.executable, "-c", _MAKE_AND_DIE, str(scratch), how],
        env={**os.environ, "TMPDIR": str(parent)}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    folder, *pids = run.stdout.split()
    found = [identify(int(pid)) for pid in pids]
    return Path(folder), [who for who in found if who is not None]


@pytest.mark.parametrize("how", ["plain", "cgroup"])
async def test_what_a_killed_process_left_is_ended_and_removed(places, how):
    parent, scratch = places
    if how == "cgroup":
        trial = cgroups.make()
        if trial is None:
            pytest.skip("no cgroup can be made here")
        await trial.end()
    folder, left = make_and_die(parent, scratch, how)
    assert folder.parent == parent
    assert all(processes.same(who) for who in left)
    assert len(left) == (2 if how == "cgroup" else 1)
    await pool_folder.clear(scratch, parent)
    assert list(parent.iterdir()) == list(scratch.iterdir()) == []
    assert not any(processes.same(who) for who in left)


async def test_its_session_alone_tells_of_it_where_the_temporary_folder_is_another(places, tmp_path):
    parent, scratch = places
    _, (left,) = make_and_die(parent, scratch)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await pool_folder.clear(scratch, elsewhere)
    assert not processes.same(left)


def test_a_folder_is_for_us_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = pool_folder.make()
    assert made.stat().st_mode & 0o077 == 0
    assert pool_folder.make() != made


async def test_what_is_not_known_to_be_left_stays(places, tmp_path):
    parent, scratch = places
    own = pool_folder.Record.new(f"{pool_folder.PREFIX}ours0000", None)
    dead = replace(own, owner=replace(own.owner, started=own.owner.started - 1))
    owners = {
        "living": json.dumps(asdict(own)),
        "young": None,
        "strange": "[1]",
        "broken": "{",
        "forged": json.dumps({**asdict(dead), "mark": ""}),
    }
    for name, owner in owners.items():
        folder = parent / f"{pool_folder.PREFIX}{name}"
        folder.mkdir()
        if owner is not None:
            (folder / "owner.json").write_text(owner)
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "owner.json").write_text(json.dumps(asdict(dead)))
    (parent / f"{pool_folder.PREFIX}link").symlink_to(target)
    reused = parent / f"{pool_folder.PREFIX}reused"
    reused.mkdir()
    (reused / "owner.json").write_text(json.dumps(asdict(dead)))
    await pool_folder.clear(scratch, parent)
    assert {path.name.removeprefix(pool_folder.PREFIX) for path in parent.iterdir()} == {*owners, "link"}
    assert (target / "owner.json").exists()


def test_nobody_above_us_is_taken_for_a_leftover():
    child = "from netra_loop import processes; print(len(processes.carrying('NETRA_TEST_ABOVE', 'yes')))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NETRA_TEST_ABOVE": "yes"}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.split() == ["0"]
