"""A worker that does not come up says why, and leaves the others alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netra_loop.execution.base import PoolOptions
from netra_loop.execution.pool_wire import Switchboard
from netra_loop.execution.pool_worker import RefusedError, Worker
from netra_loop.execution.pool_zygote import Zygote

# what a limit on processes does: one worker, and no more as long as it lives
LIMIT = """
import os
fork, zygote, made = os.fork, os.getpid(), []
def only_one():
    if os.getpid() == zygote and made and os.path.exists(f"/proc/{made[0]}"):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    pid = fork()
    made[:] = [pid]
    return pid
os.fork = only_one
"""


async def test_a_process_that_the_system_refuses_costs_neither_the_zygote_nor_its_workers(tmp_path: Path):
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "conftest.py").write_text(LIMIT)
    (tmp_path / "test_one.py").write_text("def test_one(): pass")
    options = PoolOptions(Path(sys.executable), tmp_path, (".",), env=dict(os.environ))
    board = Switchboard()
    await board.open()
    zygote = Zygote(options, board, tmp_path)
    try:
        assert len((await zygote.collect()).tests) == 1
        first, second, third = (Worker(name, str(tmp_path / name), lambda *_: None) for name in ("gw0", "gw1", "gw2"))
        await first.fork(zygote, board, options, 3)
        with pytest.raises(RefusedError, match=r"gw1 could not be forked: .*Resource temporarily unavailable"):
            await second.fork(zygote, board, options, 3)
        assert not zygote.lost.is_set()
        assert not first.lost.is_set()
        first.send(**{"is": "quit"})
        assert await first.exit_code() == 0
        await third.fork(zygote, board, options, 3)
        await third.end()
    finally:
        await zygote.end()
        await board.close()
