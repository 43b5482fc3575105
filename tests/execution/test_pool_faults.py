"""Whatever happens to processes, each planned test is reported once, truly, and nothing is left running."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import psutil
import pytest

from netra_loop.execution.base import Finished, Planned, Started


async def gone(pid: int, within_s: float = 5.0) -> bool:
    async with asyncio.timeout(within_s):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)
    return True


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


async def test_hangs_of_every_kind_end_at_their_limit(suite):
    suite.write(test_hang=HANGS)
    begun = time.monotonic()
    ran = await suite.run(workers=6, timeout_s=1.0)
    assert time.monotonic() - begun < 6
    outcomes = ran.outcomes()
    assert outcomes.pop("test_after") == "passed"
    assert outcomes.pop("test_in_teardown") == "passed"
    assert set(outcomes.values()) == {"timeout"}
    assert len(outcomes) == 4
    assert "teardown did not end within the test's 1 s" in ran.of("test_in_teardown").output
    hung = ran.of("test_in_python")
    assert hung.message == "timed out after 1 s"
    assert "in test_in_python" in hung.traceback
    assert "before the hang" in hung.output
    assert hung.duration_s == pytest.approx(1.3, abs=0.7)
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
    ran = await suite.run(workers=1, timeout_s=0.5)
    expected = ["passed", "timeout", "passed", "crashed", "passed", "passed"]
    assert [str(event.outcome) for event in ran.finished] == expected
    assert {event.worker for event in ran.finished} == {"gw0"}


async def test_deaths_of_every_kind_are_crashes_of_their_own_test(suite):
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
    ran = await suite.run(workers=2)
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
    forked = await suite.run(timeout_s=1.0)
    suite.write(
        conftest="""
        import threading
        threading.Thread(target=threading.Event().wait, name="watcher", daemon=True).start()
        """
    )
    spawned = await suite.run(timeout_s=1.0)
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
    while not (suite.root / "deaf").exists():  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.01)
    begun = time.monotonic()
    await run.aclose()
    assert 3 < time.monotonic() - begun < 5
    assert (suite.root / "tidied").exists()
    assert await gone(int((suite.root / "deaf").read_text()))
    await pool.close()
    await pool.close()
    assert not [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(suite.root)]


async def test_tests_do_not_outlive_a_killed_orchestrator(suite, tmp_path):
    suite.write(
        test_long="""
        import os, time
        def test_long():
            with open("worker", "w") as file: file.write(str(os.getpid()))
            time.sleep(600)
        """
    )
    code = f"""
import asyncio, os, sys
from pathlib import Path
from netra_loop.clock import SystemClock
from netra_loop.execution.base import Planned, PoolOptions
from netra_loop.execution.pool import PytestPool
async def main():
    options = PoolOptions(Path(sys.executable), Path({str(suite.root)!r}), (".",), env=dict(os.environ), workers=1)
    pool = PytestPool(options, SystemClock(), Path({str(tmp_path / "other")!r}))
    await pool.collect()
    async for event in pool.run([Planned("test_long.py::test_long", 1, "0" * 32)]): pass
asyncio.run(main())
"""
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    orchestrator = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=env)
    worker = suite.root / "worker"
    async with asyncio.timeout(20):
        while not worker.exists() or not worker.read_text():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)
    orchestrator.send_signal(signal.SIGKILL)
    await orchestrator.wait()
    assert await gone(int(worker.read_text()))


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
