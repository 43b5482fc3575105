"""Whatever happens to processes, each planned test is reported once, truly, and nothing is left running."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time

import psutil
import pytest

from netra_loop.execution.base import Finished, Planned, Started
from netra_loop.processes import identify

both_ways = pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "sweeps"])


async def gone(pid: int) -> bool:
    async with asyncio.timeout(30):
        while identify(pid) is not None:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)
    return True


def remaining(suite) -> list[psutil.Process]:
    """Who has the suite's folder for its own."""
    everyone = psutil.process_iter(["cwd", "status"])
    return [
        process
        for process in everyone
        if process.info["cwd"] == str(suite.root) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


HANGS = """
    import ctypes, signal, subprocess, sys, time
    import pytest

    def test_in_python():
        print("before the hang")
        time.sleep(600)
    def test_deaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            try: time.sleep(600)
            except BaseException: pass
    def test_in_c():
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock
    @pytest.fixture
    def slow_to_leave():
        yield
        time.sleep(600)
    def test_in_teardown(slow_to_leave): pass
    def test_with_a_grandchild():
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with open("grandchild", "w") as file: file.write(str(child.pid))
        time.sleep(600)
    def test_after(): pass
    """


@both_ways
async def test_hangs_of_every_kind_end_at_their_limit(suite, cgroups):
    suite.write(test_hang=HANGS)
    begun = time.monotonic()
    ran = await suite.run(workers=6, timeout_s=2.0, cgroups=cgroups)
    assert time.monotonic() - begun < 60
    outcomes = ran.outcomes()
    assert outcomes.pop("test_after") == "passed"
    assert outcomes.pop("test_in_teardown") == "passed"
    assert set(outcomes.values()) == {"timeout"}
    assert len(outcomes) == 4
    assert "teardown did not end within the test's 2 s" in ran.of("test_in_teardown").output
    hung = ran.of("test_in_python")
    assert hung.message == "timed out after 2 s"
    assert "in test_in_python" in hung.traceback
    assert "before the hang" in hung.output
    assert 1.9 < hung.duration_s < 30
    assert "in test_in_c" in ran.of("test_in_c").traceback
    assert await gone(int((suite.root / "grandchild").read_text()))


async def test_a_lost_worker_is_replaced_at_once(suite):
    suite.write(
        test_lost="""
        import os, time
        import pytest
        @pytest.mark.parametrize("n", range(6))
        def test_n(n):
            if n == 1: time.sleep(600)
            if n == 3: os._exit(0)
        """
    )
    ran = await suite.run(workers=1, timeout_s=2.0)
    expected = ["passed", "timeout", "passed", "crashed", "passed", "passed"]
    assert [str(event.outcome) for event in ran.finished] == expected
    assert {event.worker for event in ran.finished} == {"gw0"}


@both_ways
async def test_deaths_of_every_kind_are_crashes_of_their_own_test(suite, cgroups):
    suite.write(
        test_death="""
        import ctypes, os, signal, subprocess, sys
        import pytest
        def test_exit_0():
            print("last words", flush=True)
            os._exit(0)
        def test_exit_3(): os._exit(3)
        def test_kill(): os.kill(os.getpid(), signal.SIGKILL)
        def test_segfault(): ctypes.string_at(0)
        def test_pytest_exit(): pytest.exit("enough")
        def test_interrupt(): raise KeyboardInterrupt
        def test_orphan():
            code = "import os, time\\nif os.fork() == 0:\\n os.setsid()\\n if os.fork() == 0:\\n"
            code += "  open('orphan', 'w').write(str(os.getpid()))\\n  time.sleep(600)"
            subprocess.run([sys.executable, "-c", code], check=True)
            while not os.path.exists("orphan") or not open("orphan").read(): pass
            os._exit(1)
        def test_innocent(): pass
        """
    )
    ran = await suite.run(workers=2, cgroups=cgroups)
    messages = {event.id.split("::")[1]: (str(event.outcome), event.message) for event in ran.finished}
    assert messages == {
        "test_exit_0": ("crashed", "exited with code 0"),
        "test_exit_3": ("crashed", "exited with code 3"),
        "test_kill": ("crashed", "killed by SIGKILL, not by netra-loop"),
        "test_segfault": ("crashed", "killed by SIGSEGV"),
        "test_pytest_exit": ("crashed", "pytest.exit: enough"),
        "test_interrupt": ("crashed", "KeyboardInterrupt"),
        "test_orphan": ("crashed", "exited with code 1"),
        "test_innocent": ("passed", None),
    }
    assert "test_segfault" in ran.of("test_segfault").traceback
    assert "last words" in ran.of("test_exit_0").output
    assert await gone(int((suite.root / "orphan").read_text()))


async def test_a_zygote_that_a_test_kills_costs_no_test_and_is_made_anew(suite):
    suite.write(
        test_parent="""
        import os, signal, time
        import pytest
        @pytest.mark.parametrize("n", range(8))
        def test_n(n):
            if n in (1, 4, 6):
                os.kill(os.getppid(), signal.SIGKILL)
            elif n == 2:
                time.sleep(1)
            elif n == 3:
                os._exit(4)
        """
    )
    ran = await suite.run(workers=2)
    assert {event.id[-2]: (str(event.outcome), event.message) for event in ran.finished} == {
        **{str(n): ("passed", None) for n in (0, 1, 2, 4, 5, 6, 7)},
        "3": ("crashed", "exited with code 4"),
    }


async def test_a_zygote_that_a_test_stops_is_woken(suite):
    suite.write(
        test_parent="""
        import os, signal
        def test_stops_its_parent(): os.kill(os.getppid(), signal.SIGSTOP)
        def test_after(): pass
        """
    )
    ran = await suite.run(workers=1, isolation="test")
    assert ran.outcomes() == {"test_stops_its_parent": "passed", "test_after": "passed"}


async def test_workers_that_never_come_up_are_errors_not_an_endless_loop(suite):
    suite.write(
        conftest="""
        import os
        os.register_at_fork(after_in_child=lambda: os._exit(9))
        """,
        test_any="def test_a(): pass\ndef test_b(): pass\n",
    )
    ran = await suite.run(workers=2)
    assert ran.outcomes() == {"test_a": "error", "test_b": "error"}
    assert "exited with code 9" in ran.finished[0].message


async def test_threads_alive_after_collection_mean_spawned_workers_and_the_same_results(suite):
    body = """
        import os, pytest, threading, time
        @pytest.mark.parametrize("n", range(4))
        def test_n(n, worker_id, request):
            assert n != 2
            assert os.environ["PYTEST_XDIST_WORKER"] == worker_id == request.config.workerinput["workerid"]
        @pytest.fixture(scope="session", autouse=True)
        def once(): yield
        def test_dies(): os._exit(4)
        def test_hangs(): time.sleep(600)
        """
    suite.write(test_both=body)
    forked = await suite.run(timeout_s=2.0)
    suite.write(
        conftest="""
        import threading
        threading.Thread(target=threading.Event().wait, name="watcher", daemon=True).start()
        """
    )
    spawned = await suite.run(timeout_s=2.0)
    assert spawned.notices == ["workers are spawned, not forked: threads alive after collection: watcher"]
    assert forked.notices == []
    assert spawned.outcomes() == forked.outcomes()
    assert spawned.of("test_dies").message == "exited with code 4"
    assert "in test_hangs" in spawned.of("test_hangs").traceback


async def test_a_cancelled_run_interrupts_tests_and_leaves_no_process(suite):
    suite.write(
        test_long="""
        import os, signal, time
        import pytest
        @pytest.fixture
        def tidy():
            yield
            open("tidied", "w").close()
        def test_polite(tidy):
            open("polite", "w").close()
            time.sleep(600)
        def test_deaf():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with open("deaf", "w") as file: file.write(str(os.getpid()))
            while True: time.sleep(600)
        """
    )
    pool = suite.pool()
    collection = await pool.collect()
    run = pool.run([Planned(test.id, 1, "0" * 32) for test in collection.tests])
    started = [await anext(run), await anext(run)]
    assert all(isinstance(event, Started) for event in started)
    while not ((suite.root / "deaf").exists() and (suite.root / "polite").exists()):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.01)
    begun = time.monotonic()
    await run.aclose()
    assert 3 < time.monotonic() - begun < 60
    assert (suite.root / "tidied").exists()
    assert await gone(int((suite.root / "deaf").read_text()))
    await pool.close()
    await pool.close()
    assert remaining(suite) == []


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("daemon.new", "w").write(str(os.getpid()))
        os.rename("daemon.new", "daemon")
        os.execve("/bin/sleep", ["sleep", "600"], {})
"""
FORKED, SPAWNED = "", "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


@both_ways
@pytest.mark.parametrize("conftest", [FORKED, SPAWNED], ids=["forked", "spawned"])
async def test_tests_and_their_daemons_do_not_outlive_a_killed_orchestrator(suite, tmp_path, conftest, cgroups):
    suite.write(
        conftest=conftest,
        test_long=f"""
        import os, subprocess, sys, time
        def test_long():
            subprocess.run([sys.executable, "-S", "-c", {DAEMON!r}], check=True)
            while not os.path.exists("daemon"): time.sleep(0.01)
            with open("worker.new", "w") as file: file.write(str(os.getpid()))
            os.rename("worker.new", "worker")
            time.sleep(600)
        """,
    )
    code = f"""
import asyncio, os, sys
from pathlib import Path
from netra_loop.clock import SystemClock
from netra_loop.execution.base import Planned, PoolOptions
from netra_loop.execution.pool import PytestPool
async def main():
    options = PoolOptions(Path(sys.executable), Path({str(suite.root)!r}), (".",), env=dict(os.environ), workers=1)
    pool = PytestPool(options, SystemClock(), Path({str(tmp_path / "other")!r}), cgroups={cgroups})
    await pool.collect()
    async for event in pool.run([Planned("test_long.py::test_long", 1, "0" * 32)]): pass
asyncio.run(main())
"""
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    orchestrator = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=env)
    worker = suite.root / "worker"
    async with asyncio.timeout(60):
        while not worker.exists():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)
    orchestrator.send_signal(signal.SIGKILL)
    await orchestrator.wait()
    assert await gone(int(worker.read_text()))
    assert await gone(int((suite.root / "daemon").read_text()))


@both_ways
@pytest.mark.parametrize("conftest", [FORKED, SPAWNED], ids=["forked", "spawned"])
async def test_a_daemon_ends_with_the_worker_of_its_test(suite, conftest, cgroups):
    suite.write(
        conftest=conftest,
        test_daemon=f"""
        import os, subprocess, sys, time
        def test_leaves_a_daemon():
            subprocess.run([sys.executable, "-S", "-c", {DAEMON!r}], check=True)
            while not os.path.exists("daemon"): time.sleep(0.01)
        """,
    )
    ran = await suite.run(workers=1, cgroups=cgroups)
    assert ran.outcomes() == {"test_leaves_a_daemon": "passed"}
    assert identify(int((suite.root / "daemon").read_text())) is None


@both_ways
@pytest.mark.parametrize("conftest", [FORKED, SPAWNED], ids=["forked", "spawned"])
async def test_processes_that_fork_on_and_on_end_with_their_worker(suite, conftest, cgroups):
    suite.write(
        conftest=conftest,
        test_chain="""
        import os, time
        def test_leaves_a_chain():
            if os.fork() == 0:
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    if os.fork(): os._exit(0)
                    os.setsid()
                    time.sleep(0.001)
                os._exit(0)
        """,
    )
    ran = await suite.run(workers=1, cgroups=cgroups)
    assert ran.outcomes() == {"test_leaves_a_chain": "passed"}
    await suite.pools[-1].close()
    assert remaining(suite) == []


async def test_a_process_that_becomes_another_or_lets_go_of_us_is_ended(suite):
    suite.write(
        test_astray="""
        import os, time
        def test_becomes_another(): os.execv("/bin/sleep", ["sleep", "600"])
        def test_lets_go():
            os.closerange(3, 4096)
            time.sleep(600)
        def test_good(): pass
        """
    )
    ran = await suite.run(workers=2, timeout_s=30.0)
    assert ran.outcomes() == {"test_becomes_another": "crashed", "test_lets_go": "crashed", "test_good": "passed"}
    assert ran.of("test_becomes_another").message == ("its process became another program: 'sleep 600', and was killed")
    assert ran.of("test_lets_go").message == (
        "its process closed the connection that it reports through, and was killed"
    )


async def test_a_process_that_stopped_itself_is_ended_and_says_where_it_stood(suite):
    suite.write(
        test_stop="""
        import os, signal
        def test_stops():
            os.kill(os.getpid(), signal.SIGSTOP)
        """
    )
    ran = await suite.run(timeout_s=1.0)
    stopped = ran.of("test_stops")
    assert (str(stopped.outcome), stopped.message) == (
        "timeout",
        "timed out after 1 s; its process stood still, stopped by a signal",
    )
    assert "in test_stops" in stopped.traceback


async def test_a_worker_that_a_test_left_a_deadly_timer_in_runs_no_other(suite):
    suite.write(
        test_timer="""
        import os, signal, resource
        import pytest
        pids = []
        @pytest.fixture(scope="module")
        def wide():
            yield
            with open("torn", "a") as file: file.write("x")
        def test_timer(wide): signal.setitimer(signal.ITIMER_REAL, 5)
        @pytest.mark.parametrize("n", range(4))
        def test_after(wide, n): assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        def test_limits(wide): resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
        @pytest.mark.parametrize("n", range(4))
        def test_then(wide, n): assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64
        """
    )
    ran = await suite.run(workers=1)
    assert set(ran.outcomes().values()) == {"passed"}
    assert (suite.root / "torn").read_text() == "xxx"


async def test_a_child_that_runs_back_into_pytest_ends_with_the_code_it_meant(suite):
    suite.write(
        test_fork="""
        import os, sys
        def test_returns():
            child = os.fork()
            if child: assert os.waitpid(child, 0)[1] == 0
        def test_exits():
            child = os.fork()
            if child == 0: sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        def test_fails():
            print("the parent's own words")
            child = os.fork()
            assert child != 0
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        """
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_returns": "passed", "test_exits": "passed", "test_fails": "passed"}
    assert "the parent's own words" in ran.of("test_fails").output


async def test_a_flood_takes_no_disk_and_keeps_its_head_and_tail(suite):
    suite.write(
        test_flood="""
        import os
        def test_flood():
            print("the first line", flush=True)
            for _ in range(1024): os.write(1, b"0123456789abcde\\n" * (1 << 16))
            print("the last line", flush=True)
        def test_after(): print("after")
        """
    )
    most = 0

    async def gauge() -> None:
        nonlocal most
        while True:
            most = max(most, *(path.stat().st_blocks * 512 for path in suite.scratch.glob("gw0.*")), 0)
            await asyncio.sleep(0.02)

    watch = asyncio.create_task(gauge())
    for how in ((), ("-s",)):
        ran = await suite.run(workers=1, timeout_s=60, args=how)
        assert ran.outcomes() == {"test_flood": "passed", "test_after": "passed"}
        output = ran.of("test_flood").output
        assert "the first line" in output
        assert output.endswith("the last line\n")
        assert re.search(r"of 10737418\d\d bytes left out", output)
        assert len(output) < 400_000
        assert "after" in ran.of("test_after").output
        assert "line" not in ran.of("test_after").output
    watch.cancel()
    assert 0 < most < 600 << 20


async def test_a_finished_test_is_told_before_the_next_one_ends(suite):
    suite.write(test_two="import time\ndef test_quick(): pass\ndef test_slow(): time.sleep(600)\n")
    pool = suite.pool(workers=1)
    collection = await pool.collect()
    run = pool.run([Planned(test.id, 1, "0" * 32) for test in collection.tests])
    async for event in run:
        if isinstance(event, Finished):
            assert event.id.endswith("test_quick")
            break
    await run.aclose()


async def test_a_worker_whose_end_the_system_does_not_tell_is_replaced_all_the_same(suite):
    suite.write(
        conftest="""
            import signal
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            with open("collected", "a") as file: file.write(".")
            """,
        test_some="""
            import os
            def test_one(): pass
            def test_gone(): os._exit(3)
            def test_two(): pass
            """,
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_one": "passed", "test_gone": "crashed", "test_two": "passed"}
    assert (suite.root / "collected").read_text() == "."  # by one process, which lived on


async def test_what_a_handler_of_the_test_s_raises_while_more_is_asked_for_is_the_tests_failure(suite):
    suite.write(
        test_alarm="""
        def test_rings(request):
            line = request.config.pluginmanager.getplugin("netra-loop-worker").line
            send = line.send
            def ring(*messages):
                line.send = send
                raise RuntimeError("an alarm")
            line.send = ring
        def test_follows(): pass
        """
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_rings": "failed", "test_follows": "passed"}
    assert ran.of("test_rings").message == "RuntimeError: an alarm"
    assert "killed" not in ran.of("test_rings").output  # it did not wait for an answer to what was never asked
