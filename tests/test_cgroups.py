"""Groups that the kernel keeps together, where they can be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netra_loop import cgroups
from netra_loop.processes import space

# a chain in which each process starts the next and ends: no look at it finds who is there a moment later
CHAIN = """
import os, time
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork(): os._exit(0)
    os.setsid()
"""


@pytest.fixture
async def group():
    made = cgroups.make()
    if made is None:
        pytest.skip("no cgroup can be made here")
    yield made
    await made.end()


def inside(group: cgroups.Group, *argv: str) -> subprocess.Popen[bytes]:
    file = str(group.path / "cgroup.procs")
    code = f"import os, sys; open({file!r}, 'w').write('0'); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-S", "-c", code, *argv])
    while process.poll() is None and str(process.pid) not in (group.path / "cgroup.procs").read_text().split():
        pass
    return process


async def test_all_in_a_group_and_below_ends_at_once_and_the_group_is_gone(group):
    child = group.child("child")
    processes = [inside(group, "/bin/sleep", "300"), inside(child, "/bin/sleep", "300")]
    assert group.populated()
    assert await group.end()
    assert [process.wait() for process in processes] == [-9, -9]
    assert not group.path.exists()
    assert await group.end()


async def test_a_chain_of_forks_ends(group):
    chain = inside(group, sys.executable, "-S", "-c", CHAIN)
    chain.wait()
    assert group.populated()
    assert await group.end()
    assert not group.path.exists()


async def test_the_groups_of_living_owners_and_strange_names_are_let_be(group):
    strange = group.path.with_name("netra-loop-something-else")
    strange.mkdir()
    try:
        await cgroups.sweep(str(strange), str(group.path))
        assert strange.exists()
        assert group.path.exists()
    finally:
        strange.rmdir()


async def test_the_group_of_a_dead_owner_is_ended(group):
    name = group.path.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-1")  # the same pid, started at another time
    left = cgroups.Group(Path(group.path).with_name(name))
    left.path.mkdir()
    process = inside(left, "/bin/sleep", "300")
    await cgroups.sweep()
    assert process.wait() == -9
    assert not left.path.exists()


async def test_the_group_of_another_pid_namespace_is_let_be(group):
    name = group.path.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-1").replace(f"-{space()}-", "-1-")
    strange = cgroups.Group(Path(group.path).with_name(name))
    strange.path.mkdir()
    await cgroups.sweep(str(strange.path))
    assert strange.path.exists()
    strange.path.rmdir()
