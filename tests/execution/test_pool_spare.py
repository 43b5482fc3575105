"""A guardian may be there before it is known what it is to guard."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netra_loop.execution import pool_spare
from netra_loop.execution.pool_guardian import Guarded

CLOSED = "import os, sys\nfrom netra_loop.execution import pool_spare\npool_spare.keep()\n"


async def told(code: str, folder: Path) -> str:
    guarded = await Guarded.start(
        [sys.executable, "-c", code], env=dict(os.environ), cwd=folder, output=folder / "output"
    )
    await guarded.wait()
    await guarded.end()
    return (folder / "output").read_text()


async def test_one_that_was_kept_is_taken_once(tmp_path):
    pool_spare.keep()
    kept = pool_spare.take()
    pool_spare._spare.append(kept)
    assert (await told("import os; print(os.getppid())", tmp_path)).split() == [str(kept.pid)]
    assert (await told("import os; print(os.getppid())", tmp_path)).split()[1] != str(kept.pid)


async def test_what_we_inherited_is_not_passed_on(tmp_path):
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        assert "[0, 1, 2]" in await told("import os; print(sorted(map(int, os.listdir('/dev/fd')))[:-1])", tmp_path)
    finally:
        os.close(inherited)


async def test_what_cannot_be_written_to_is_told(tmp_path):
    with pytest.raises(OSError, match="No such file or directory"):
        await Guarded.start([sys.executable], env={}, cwd=tmp_path, output=tmp_path / "nowhere" / "output")


def test_one_that_nobody_takes_ends_with_us():
    code = CLOSED + "print(pool_spare.take().pid, flush=True)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    try:
        handle = os.pidfd_open(int(done.stdout))
    except ProcessLookupError:
        return
    assert select.select([handle], (), (), 60)[0]
    os.close(handle)


def test_none_is_kept_where_a_stream_is_closed():
    code = CLOSED + "sys.exit(len(pool_spare._spare))"
    assert subprocess.run(["sh", "-c", '"$@" <&-', "sh", sys.executable, "-c", code], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


def test_one_that_was_killed_meanwhile_is_not_taken():
    pool_spare.keep()
    kept = pool_spare._spare[-1]
    os.kill(kept.pid, signal.SIGKILL)
    os.waitid(os.P_PID, kept.pid, os.WEXITED | os.WNOWAIT)
    taken = pool_spare.take()
    assert taken.pid != kept.pid
    taken.line.close()
    assert os.waitpid(taken.pid, 0) == (taken.pid, 0)
    assert not Path("/proc", str(kept.pid)).exists()  # nor is it left a zombie


def test_whoever_asks_the_agents_package_for_its_spec_is_answered():
    spec = "importlib.util.find_spec('netra_loop_agent')"
    ask = f"import importlib.util, netra_loop_agent.wire\nprint(*{spec}.submodule_search_locations)"
    command = [sys.executable, "-c", pool_spare.LOAD + ask, pool_spare.AGENT]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert run.stdout.split() == [pool_spare.AGENT]
