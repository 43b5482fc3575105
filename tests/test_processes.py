import asyncio
import os
import subprocess
import sys

import pytest

from netra_loop import processes

TREE = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
far = subprocess.Popen(["sleep", "300"], start_new_session=True)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print(os.getpid(), far.pid, flush=True)
    time.sleep(300)
time.sleep(300)
"""


def start(code: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True, **options)


def pids_said(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    with process.stdout:
        return [int(word) for word in process.stdout.readline().split()]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_itself_until_it_ends(sleeper):
    identity = processes.identify(sleeper.pid)
    assert identity is not None
    assert processes.same(identity)
    sleeper.kill()
    sleeper.wait()
    assert not processes.same(identity)


def test_another_start_time_or_boot_is_another_process(sleeper):
    identity = processes.identify(sleeper.pid)
    assert not processes.same(identity._replace(started=identity.started + 1))
    assert not processes.same(identity._replace(boot_id="another"))


async def test_a_stranger_with_a_remembered_pid_is_left_alone(sleeper):
    identity = processes.identify(sleeper.pid)
    await processes.end_known(identity._replace(started=identity.started - 1), term_grace_s=0)
    assert not processes.send(identity._replace(started=0.0), 9)
    assert sleeper.poll() is None


async def test_a_tree_ends_with_members_that_ignore_sigterm_or_lead_their_own_session():
    root = start(TREE)
    members = [processes.identify(pid) for pid in pids_said(root)]
    assert await processes.end_tree(root.pid, term_grace_s=0.1) == ()
    root.wait()
    assert not any(processes.same(member) for member in members)


async def test_a_session_ends_even_where_its_leader_is_gone():
    root = start("import subprocess; print(subprocess.Popen(['sleep', '300']).pid, flush=True)")
    (child,) = (processes.identify(pid) for pid in pids_said(root))
    root.wait()
    await processes.end_tree(root.pid, term_grace_s=0)
    assert not processes.same(child)


async def test_our_own_process_is_never_ended():
    with pytest.raises(ValueError, match="not a child's"):
        await processes.end_tree(os.getpid(), term_grace_s=0)


async def test_a_first_signal_is_chosen_and_then_waited_for():
    root = start(
        "import time\ntry:\n print(1, flush=True)\n time.sleep(300)\nexcept KeyboardInterrupt: raise SystemExit(7)"
    )
    pids_said(root)
    await processes.end_tree(root.pid, term_grace_s=5, first_signal=2)
    assert root.wait() == 7


def test_orphans_are_found_by_what_they_carry():
    root = start(
        "import subprocess; print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid, flush=True)",
        env={"NETRA_TEST_MARK": "here"},
    )
    pids = pids_said(root)
    root.wait()
    found = processes.carrying("NETRA_TEST_MARK", "here")
    assert [identity.pid for identity in found] == pids
    assert asyncio.run(processes.end_known(found[0], term_grace_s=0)) == ()
    assert processes.carrying("NETRA_TEST_MARK", "here") == []


ENDS_ALL = """
import os, select, subprocess, sys
from netra_loop.processes import kill_descendants
tree = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
pids = [tree.pid, *map(int, tree.stdout.readline().split())]
poll = select.poll()
for handle in map(os.pidfd_open, pids):
    poll.register(handle, select.POLLIN)
kill_descendants()
ended = 0
while ended < len(pids):
    for handle, _ in poll.poll(30_000):
        poll.unregister(handle)
        ended += 1
print("all ended")
"""


def test_all_that_a_process_started_is_killed_however_deep_and_whatever_it_ignores():
    done = subprocess.run([sys.executable, "-c", ENDS_ALL, TREE], stdout=subprocess.PIPE, check=True, timeout=60)
    assert done.stdout == b"all ended\n"


def test_a_tied_process_dies_with_its_parent():
    parent = start(
        "import subprocess, time; from netra_loop import processes;"
        "c = subprocess.Popen(['sleep', '300'], preexec_fn=processes.die_with_parent()); print(c.pid, flush=True);"
        "time.sleep(300)"
    )
    (child,) = (processes.identify(pid) for pid in pids_said(parent))
    handle = os.pidfd_open(child.pid)
    parent.kill()
    parent.wait()
    gone = asyncio.run(_readable(handle))
    os.close(handle)
    assert gone


async def _readable(handle: int) -> bool:
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, done.set)
    async with asyncio.timeout(30):
        return await done.wait()
