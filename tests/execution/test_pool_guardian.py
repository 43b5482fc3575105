"""A guardian ends what it was given, and all that this leaves behind."""

from __future__ import annotations

import asyncio
import errno
import marshal
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from netra_loop import processes
from netra_loop.execution.pool_guardian import Guarded
from netra_loop.execution.pool_spare import AGENT, GUARD

LEAVES_TWO = """
import os, sys, time
for name in ("brief", "long"):
    if os.fork() == 0:
        os.setsid()
        if name == "brief":
            while os.path.exists("hold"): time.sleep(0.01)
            os._exit(5)
        time.sleep(300)
    os.write(1, b".")
os.kill(os.getpid(), 9)
"""


async def start(code: str, folder: Path, *, heirs: bool = False) -> Guarded:
    argv = [sys.executable, "-c", code]
    return await Guarded.start(argv, env=dict(os.environ), cwd=folder, output=folder / "output", heirs=heirs)


def guard(line: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", GUARD, AGENT], stdin=line)


def here(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def is_known(pid: str) -> bool:
    """To the kernel, be it as a zombie."""
    return Path("/proc", pid.strip()).exists()


async def test_the_code_or_signal_of_the_process_is_told(tmp_path):
    for code, told in (("raise SystemExit(3)", 3), ("import os; os.abort()", -6), ("", 0)):
        guarded = await start(code, tmp_path)
        assert processes.identify(guarded.pid) is not None or guarded.pid > 0
        assert await guarded.wait() == told
        await guarded.end()


async def test_what_it_leaves_in_sessions_of_their_own_is_killed(tmp_path):
    (tmp_path / "hold").touch()
    guarded = await start(LEAVES_TWO, tmp_path)
    assert await guarded.wait() == -9
    await guarded.end()
    assert here(tmp_path) == []


async def test_heirs_live_on_and_their_ends_are_told_until_all_is_ended(tmp_path):
    (tmp_path / "hold").touch()
    guarded = await start(LEAVES_TWO, tmp_path, heirs=True)
    assert await guarded.wait() == -9
    heirs = here(tmp_path)
    assert len(heirs) == 2
    ends = [guarded.ended(pid) for pid in heirs]
    (tmp_path / "hold").unlink()
    done, _ = await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert [end.result() for end in done] == [5]
    await guarded.end()
    assert {end.result() for end in ends} == {5, -9}
    assert here(tmp_path) == []
    assert await guarded.ended(1) is None


@pytest.mark.parametrize(("argv", "where"), [("/nonexistent", "."), (sys.executable, "nowhere")])
async def test_what_cannot_be_started_is_told(tmp_path, argv, where):
    with pytest.raises(OSError, match="No such file or directory"):
        await Guarded.start([argv], env={}, cwd=tmp_path / where, output=tmp_path / "output")


async def test_a_stopped_guardian_ends_all_the_same(tmp_path):
    guarded = await start("import os, signal, time; os.kill(os.getppid(), signal.SIGSTOP); time.sleep(300)", tmp_path)
    await guarded.end()
    assert here(tmp_path) == []


async def test_one_that_told_what_nobody_read_ends_all_the_same(tmp_path):
    ours, theirs = socket.socketpair()
    guardian = guard(theirs)
    theirs.close()
    order = {"argv": [sys.executable, "-c", "import time; time.sleep(300)"], "env": {}, "cwd": str(tmp_path)}
    order["output"] = str(tmp_path / "output")
    body = marshal.dumps(order | {"group": None, "join": None, "heirs": False})
    ours.sendall(len(body).to_bytes(4, "big") + body)
    assert select.select([ours], [], [], 30)[0]  # `started`, left unread: what closes now is reset, not ended
    assert len(here(tmp_path)) == 1
    ours.close()
    assert guardian.wait(timeout=30) == 128 + 9
    assert here(tmp_path) == []


async def test_it_is_no_zombie_once_it_was_ended_however_often_that_is_asked_for(tmp_path):
    guarded = await start("import os; print(os.getppid())", tmp_path)
    await guarded.wait()
    await asyncio.gather(guarded.end(), guarded.end())
    await guarded.end()
    assert not is_known((tmp_path / "output").read_text())


async def test_its_end_is_seen_where_the_system_hands_out_no_handles(tmp_path, monkeypatch):
    guarded = await start("import os; print(os.getppid())", tmp_path)
    await guarded.wait()

    def refused(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refused)
    await guarded.end()
    assert not is_known((tmp_path / "output").read_text())
