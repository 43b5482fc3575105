"""What a killed orchestrator leaves is ended and removed at the next start, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from netra_loop import cgroups, processes
from netra_loop.errors import EnvironmentFailed
from netra_loop.execution import pool_folder
from netra_loop.execution.pool_wire import Switchboard
from netra_loop.processes import identify

_MAKE_AND_DIE = """
import os, signal, subprocess, sys
from pathlib import Path
from netra_loop import cgroups
from netra_loop.execution import pool_folder
held = pool_folder.Folder(); folder = held.path
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

_MAKE_AND_STAY = """
import os, subprocess, sys
from pathlib import Path
from netra_loop import cgroups
from netra_loop.execution import pool_folder
held = pool_folder.Folder()
group = cgroups.make()
pool_folder.Record.new(held.path.name, group).write(held.path, Path(sys.argv[1]))
runs = subprocess.Popen(["sleep", "300"], env={pool_folder.MARK: held.path.name}, stdout=subprocess.DEVNULL)
if group is not None:
    (group.path / "cgroup.procs").write_text(str(runs.pid))
print(held.path, group and group.path, flush=True)
sys.stdin.readline()
print(runs.poll(), flush=True)
runs.kill()
runs.wait()
if group is not None:
    group.remove()
"""


@pytest.fixture
def short() -> Iterator[Path]:
    made = tempfile.mkdtemp(prefix="nl-", dir="/tmp")
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def places(short: Path, tmp_path: Path) -> tuple[Path, Path]:
    scratch = tmp_path / "session"
    scratch.mkdir()
    return short, scratch


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


def test_a_folder_is_for_us_alone(short, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(short))
    made, other = pool_folder.Folder(), pool_folder.Folder()
    assert made.path.parent == other.path.parent == short
    assert made.path.stat().st_mode & 0o077 == 0
    assert made.path != other.path
    for folder in (made, other, made):
        folder.close()
    assert list(short.iterdir()) == []


async def test_where_the_temporary_folder_is_too_deep_for_a_socket_another_is_taken(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    board = Switchboard()
    await board.open()
    try:
        assert board.folder.parent == Path("/tmp")
        assert board.folder.stat().st_mode & 0o077 == 0
    finally:
        await board.close()


@pytest.mark.parametrize("named", ["none", "/proc"])  # nobody, root included, may write to the second
def test_a_temporary_folder_that_is_none_is_passed_over(tmp_path, monkeypatch, named):
    monkeypatch.setenv("TMPDIR", str(tmp_path / named))
    made = pool_folder.Folder()
    assert made.path.parent == Path(tempfile.gettempdir())
    made.close()


def test_where_no_folder_can_be_made_it_says_which_and_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none")[-40:])
    with pytest.raises(EnvironmentFailed, match="none") as failure:
        pool_folder.Folder()
    assert "TMPDIR" in str(failure.value.hint)


async def test_what_is_not_known_to_be_left_stays(places, tmp_path):
    parent, scratch = places
    own = pool_folder.Record.new(f"{pool_folder.PREFIX}ours0000", None)
    dead = own._replace(owner=own.owner._replace(started=own.owner.started - 1))
    owners = {
        "living": json.dumps(own.row()),
        "young": None,
        "strange": "[1]",
        "broken": "{",
        "forged": json.dumps({**dead.row(), "mark": ""}),
    }
    for name, owner in owners.items():
        folder = parent / f"{pool_folder.PREFIX}{name}"
        folder.mkdir()
        if owner is not None:
            (folder / "owner.json").write_text(owner)
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "owner.json").write_text(json.dumps(dead.row()))
    (parent / f"{pool_folder.PREFIX}link").symlink_to(target)
    reused = parent / f"{pool_folder.PREFIX}reused"
    reused.mkdir()
    (reused / "owner.json").write_text(json.dumps(dead.row()))
    await pool_folder.clear(scratch, parent)
    assert {path.name.removeprefix(pool_folder.PREFIX) for path in parent.iterdir()} == {*owners, "link"}
    assert (target / "owner.json").exists()


async def test_one_whose_maker_was_killed_before_he_said_whose_it_is_goes_after_a_minute(places, monkeypatch):
    parent, scratch = places
    monkeypatch.setenv("TMPDIR", str(parent))
    code = "import os; from netra_loop.execution import pool_folder; pool_folder.Folder(); os.kill(os.getpid(), 9)"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
    held = pool_folder.Folder()
    (left,) = set(parent.iterdir()) - {held.path}
    await pool_folder.clear(scratch, parent)
    assert left.exists()
    for folder in (left, held.path):
        os.utime(folder, (0, 0))
    await pool_folder.clear(scratch, parent)
    assert list(parent.iterdir()) == [held.path]
    held.close()


async def test_what_processes_wrote_beside_a_sessions_own_files_goes_with_them(places):
    parent, scratch = places
    make_and_die(parent, scratch)
    for name in ("zygote-0123abcd.log", "gw0.out", "gw11-2.stacks", "notes.txt"):
        (scratch / name).touch()
    await pool_folder.clear(scratch, parent)
    assert [path.name for path in scratch.iterdir()] == ["notes.txt"]


async def test_a_folder_whose_lock_is_held_is_let_be_whoever_its_owner_seems_to_be(places, monkeypatch):
    parent, scratch = places
    monkeypatch.setenv("TMPDIR", str(parent))
    folder = pool_folder.Folder()
    own = pool_folder.Record.new(folder.path.name, None)
    for seems in (dead := own._replace(owner=own.owner._replace(started=0.0)), dead._replace(space=1), own):
        seems.write(folder.path, scratch)
        await pool_folder.clear(scratch, parent)
        assert folder.path.exists()
    folder.close()


async def test_processes_of_another_pid_namespace_are_let_be(places, monkeypatch):
    parent, scratch = places
    monkeypatch.setenv("TMPDIR", str(parent))
    own = pool_folder.Record.new(f"{pool_folder.PREFIX}strange0", None)
    strange = own._replace(owner=own.owner._replace(started=0.0), space=1)
    strange.write(scratch, scratch)
    living = sleep(strange.mark)
    try:
        assert not strange.is_left()
        await pool_folder.clear(scratch, parent)
        await strange.end()
        assert living.poll() is None
        assert (scratch / "pool.json").exists()
    finally:
        living.kill()
        living.wait()


def sleep(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"], env={pool_folder.MARK: mark})


def neighbour(parent: Path, scratch: Path) -> subprocess.Popen[bytes]:
    within = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*within, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("`unshare --pid` is missing, or not allowed here")
    return subprocess.Popen(
        [*within, sys.executable, "-c", _MAKE_AND_STAY, str(scratch)],
        env={**os.environ, "TMPDIR": str(parent)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


async def test_a_container_leaves_what_another_one_is_running(places):
    parent, scratch = places
    with neighbour(parent, scratch) as other:
        folder, group = other.stdout.readline().decode().split()
        await pool_folder.clear(scratch, parent)
        await cgroups.sweep(group)
        assert [str(path) for path in parent.iterdir()] == [folder]
        assert other.communicate(b"go on\n") == (b"None\n", None)  # what it runs still ran
    assert other.returncode == 0
    await pool_folder.clear(scratch, parent)
    assert list(parent.iterdir()) == []  # it had not taken its folder away


def test_nobody_above_us_is_taken_for_a_leftover():
    child = "from netra_loop import processes; print(len(processes.carrying('NETRA_TEST_ABOVE', 'yes')))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NETRA_TEST_ABOVE": "yes"}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.split() == ["0"]
