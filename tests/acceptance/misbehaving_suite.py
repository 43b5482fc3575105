"""Tests that do what no test should, each with what truly came of it written above. Copied into a project as a suite.

`truth(outcome, message)`: the outcome, and how its one-line message begins ("" where there is none).
"""
# ruff: noqa: BLE001, PLR0133, PLW1510, SIM105, T201 - wrong on purpose

import asyncio
import atexit
import ctypes
import faulthandler
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

FOR_EVER = ["sleep", "86399"]


def truth(_outcome, _message=""):
    return lambda function: function


def quiet(argv, **options):
    return subprocess.Popen(argv, stderr=subprocess.DEVNULL, **options)


# ---- ends


@truth("crashed", "exited with code 0")
def test_exits_0():
    os._exit(0)


@truth("crashed", "exited with code 3")
def test_exits_3():
    os._exit(3)


@truth("crashed", "pytest.exit: enough")
def test_pytest_exit():
    pytest.exit("enough")


@truth("crashed", "KeyboardInterrupt")
def test_raises_keyboard_interrupt():
    raise KeyboardInterrupt


@truth("failed", "SystemExit: 0")
def test_raises_system_exit():
    raise SystemExit(0)


@truth("failed", "test_misbehaving.test_raises_base_exception.<locals>.Odd")
def test_raises_base_exception():
    class Odd(BaseException):
        pass

    raise Odd


@truth("crashed", "killed by SIGKILL, not by netra-loop")
def test_kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


@truth("crashed", "killed by SIGTERM")
def test_terminates_itself():
    os.kill(os.getpid(), signal.SIGTERM)


@truth("crashed", "killed by SIGHUP")
def test_hangs_up_on_itself():
    os.kill(os.getpid(), signal.SIGHUP)


@truth("crashed", "killed by SIGSEGV")
def test_reads_address_0():
    ctypes.string_at(0)


@truth("crashed", "killed by SIGSEGV")
def test_reads_address_0_with_faulthandler_off():
    faulthandler.disable()
    ctypes.string_at(0)


@truth("crashed", "killed by SIGABRT")
def test_aborts():
    os.abort()


@truth("crashed", "killed by SIGKILL, not by netra-loop")
def test_kills_its_process_group():
    os.killpg(0, signal.SIGKILL)


@truth("crashed", "KeyboardInterrupt")
def test_interrupts_its_process_group():
    os.killpg(0, signal.SIGINT)
    time.sleep(600)


@truth("crashed", "killed by SIGALRM")
def test_is_killed_by_its_own_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    time.sleep(600)


@truth("crashed", "exited with code 0")
def test_becomes_another_program():
    os.execv("/bin/true", ["true"])


@truth("crashed", "its process closed the connection that it reports through")
def test_closes_descriptors_that_are_not_its_own():
    os.closerange(3, 4096)


@truth("failed", "MemoryError")
def test_wants_more_memory_than_it_may_have():
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, most))
    bytearray(64 << 30)


# ---- hangs


@truth("timeout", "timed out after 2 s")
def test_hangs():
    time.sleep(600)


@truth("timeout", "timed out after 2 s")
def test_hangs_and_holds_the_interpreter():
    ctypes.PyDLL(None).sleep(600)


@truth("timeout", "timed out after 2 s")
def test_hangs_in_a_regular_expression():
    re.match(r"(a+)+$", "a" * 64 + "b")


@truth("timeout", "timed out after 2 s")
def test_hangs_and_swallows_everything():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


@truth("timeout", "timed out after 2 s")
def test_hangs_with_all_signals_blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(600)


@truth("timeout", "timed out after 2 s; its process stood still, stopped by a signal")
def test_stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


@truth("timeout", "timed out after 2 s")
def test_waits_for_a_thread():
    threading.Thread(target=time.sleep, args=(600,)).start()
    threading.Event().wait()


@truth("timeout", "timed out after 2 s")
def test_hangs_in_asyncio():
    asyncio.run(asyncio.sleep(600))


@pytest.fixture
def hangs_before():
    time.sleep(600)


@truth("timeout", "timed out after 2 s")
def test_hangs_in_setup(hangs_before):
    pass


@pytest.fixture
def hangs_after():
    yield
    time.sleep(600)


@truth("passed")
def test_hangs_in_teardown(hangs_after):
    pass


@truth("failed", "assert 1 == 2")
def test_fails_and_hangs_in_teardown(hangs_after):
    assert 1 == 2


@truth("passed")
def test_leaves_an_exit_handler_that_hangs():
    atexit.register(time.sleep, 600)


# ---- processes


@truth("passed")
def test_leaves_a_child_in_a_session_of_its_own():
    quiet(FOR_EVER, start_new_session=True)


@truth("passed")
def test_leaves_a_daemon_without_environment():
    code = "import os, sys\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: "
    code += "os.execve('/bin/sleep', sys.argv[1:], {})"
    subprocess.run([sys.executable, "-S", "-c", code, *FOR_EVER], check=True)


@truth("timeout", "timed out after 2 s")
def test_waits_for_a_child_that_ignores_signals():
    subprocess.run(["sh", "-c", "trap '' INT TERM HUP; " + " ".join(FOR_EVER)])


@truth("passed")
def test_leaves_one_that_forks_on_and_on():
    if os.fork() == 0:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.002)
        os._exit(0)


@truth("passed")
def test_leaves_a_multiprocessing_child():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(86399,)).start()


@truth("passed")
def test_forks_and_lets_the_child_go_on():
    os.fork()


@truth("passed")
def test_forks_a_child_that_fails():
    if os.fork() == 0:
        raise AssertionError("nobody is to hear this")


@truth("passed")
def test_kills_its_parent():
    os.kill(os.getppid(), signal.SIGKILL)


@truth("passed")
def test_stops_its_parent():
    os.kill(os.getppid(), signal.SIGSTOP)


# ---- output


@truth("passed")
def test_floods_its_output():
    for _ in range(256):
        os.write(1, b"0123456789abcde\n" * (1 << 16))


@truth("timeout", "timed out after 2 s")
def test_floods_its_output_and_hangs():
    print("the first line", flush=True)
    for _ in range(128):
        os.write(1, b"0123456789abcde\n" * (1 << 16))
    print("the last line", flush=True)
    time.sleep(600)


@truth("passed")
def test_prints_one_line_of_50_megabytes():
    print("x" * (50 << 20))


@truth("passed")
def test_prints_what_is_no_text():
    os.write(1, b"\xff\xfe\x00\xf0\x28\x8c\xbc \x1b[31m\n")
    print("\udcff\x00".encode("utf-8", "replace"))


@truth("passed")
def test_has_an_unhappy_finalizer():
    class Unhappy:
        def __del__(self):
            raise RuntimeError("no")

    Unhappy()


# ---- what is left changed


@truth("passed")
def test_changes_folder_environment_and_mask():
    os.chdir("/")
    os.environ.clear()
    os.umask(0o777)


@truth("passed")
def test_lowers_its_limits():
    for limit, value in ((resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))


@truth("passed")
def test_leaves_an_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0.5)


@truth("passed")
def test_leaves_threads_and_a_loop():
    threading.Thread(target=time.sleep, args=(600,)).start()
    threading.Thread(target=lambda: [time.sleep(0.01) for _ in iter(int, 1)], daemon=True).start()
    asyncio.new_event_loop()


@truth("passed")
def test_turns_its_output_off():
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)


@truth("passed")
def test_takes_the_stacks_away():
    faulthandler.unregister(signal.SIGRTMAX - 3)
    sys.setrecursionlimit(1 << 20)
