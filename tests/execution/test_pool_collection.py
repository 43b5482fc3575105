"""What a collection tells, and how it fails."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


async def test_a_test_is_described(suite):
    suite.write(
        test_one="""
        import pytest
        @pytest.mark.slow
        class TestThing:
            @pytest.mark.parametrize("n", [1])
            def test_one(self, n): pass
        """
    )
    (suite.root / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (test,) = (await suite.pool().collect()).tests
    assert test.id == "test_one.py::TestThing::test_one[1]"
    assert test.path == "test_one.py"
    assert test.line == 5
    assert set(test.markers) == {"slow", "parametrize"}
    assert {"test_one.py", "TestThing", "test_one[1]", "slow"} <= set(test.keywords)


async def test_a_file_that_cannot_be_imported_is_an_error_and_the_others_run(suite):
    suite.write(test_bad="import nothing_of_this_name\n", test_good="def test_good(): pass\n")
    ran = await suite.run()
    (error,) = ran.collection.errors
    assert error.id == "test_bad.py"
    assert "No module named 'nothing_of_this_name'" in error.text
    assert ran.outcomes() == {"test_good": "passed"}


async def test_no_test_at_all_is_no_failure_of_collection(suite):
    collection = await suite.pool().collect()
    assert (collection.tests, collection.fatal) == ((), None)


async def test_what_options_leave_out_is_counted(suite):
    suite.write(test_two="def test_a(): pass\ndef test_b(): pass\n")
    collection = await suite.pool(args=("-k", "test_a")).collect()
    assert [test.id for test in collection.tests] == ["test_two.py::test_a"]
    assert collection.deselected == 1


@pytest.mark.parametrize(
    ("files", "args", "said"),
    [
        ({"conftest": "import nothing_of_this_name\n"}, (), "No module named 'nothing_of_this_name'"),
        ({"test_a": "def test_a(): pass\n"}, ("--no-such-option",), "unrecognized arguments: --no-such-option"),
        ({"test_a": "def test_a(): pass\n"}, ("missing.py",), "file or directory not found: missing.py"),
        ({"conftest": "import os\nos._exit(7)\n"}, (), "exited with code 7"),
        ({"conftest": "import sys\nsys.exit(8)\n"}, (), "exited with code 8"),
        ({"conftest": "import ctypes\nctypes.string_at(0)\n"}, (), "killed by SIGSEGV"),
        ({"test_a": "import os\nos.abort()\n"}, (), "killed by SIGABRT"),
    ],
)
async def test_what_stops_collection_is_told_in_its_own_words(suite, files, args, said):
    suite.write(**files)
    collection = await suite.pool(args=args).collect()
    assert collection.fatal is not None
    assert said in collection.fatal


async def test_a_collection_whose_guardian_is_killed_says_so(suite):
    suite.write(test_a="import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)\n")
    collection = await suite.pool().collect()
    assert collection.tests == ()
    assert "its guardian was killed from outside" in collection.fatal


async def test_an_interpreter_that_is_not_there(suite):
    collection = await suite.pool(python=Path("/nonexistent/python")).collect()
    assert collection.fatal is not None
    assert "/nonexistent/python could not be started" in collection.fatal


async def test_a_collection_that_hangs_is_ended_with_its_stacks(suite):
    suite.write(test_hang="import time\ndef wait_for_ever(): time.sleep(600)\nwait_for_ever()\n")
    collection = await suite.pool(collect_timeout_s=4.0).collect()
    assert collection.fatal is not None
    assert "collection did not end within 4 s" in collection.fatal
    assert "wait_for_ever" in collection.fatal


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_collection_that_is_stopped_where_it_is_says_so_and_whether_there_are_stacks(suite, deaf):
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n" if deaf else ""
    suite.write(test_x=f"import os, signal\n{block}os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass\n")
    fatal = (await suite.pool(collect_timeout_s=4.0).collect()).fatal or ""
    still = "collection did not end within 4 s; its process stood still, stopped by a signal"
    if deaf:
        assert fatal == f"{still}; no stacks could be had of its process"
    else:
        assert fatal.startswith(f"{still}\nstacks:\n")
        assert "test_x.py" in fatal


async def test_a_flood_at_import_takes_no_disk(suite):
    suite.write(test_flood="import os\nwhile True: os.write(1, b'0123456789abcde\\n' * 4096)\n")
    most = 0

    async def gauge() -> None:
        nonlocal most
        while True:
            most = max(most, *(path.stat().st_blocks * 512 for path in suite.scratch.glob("zygote*.*")), 0)
            await asyncio.sleep(0.02)

    watch = asyncio.create_task(gauge())
    collection = await suite.pool(collect_timeout_s=4.0).collect()
    watch.cancel()
    assert "collection did not end within 4 s" in (collection.fatal or "")
    assert 0 < most < 800 << 20


async def test_spawned_workers_that_hang_as_they_collect_are_errors_with_their_stacks(suite):
    suite.write(
        conftest="""
        import os, threading, time
        def hang_the_second_time():
            if os.path.exists("collected"): time.sleep(600)
        hang_the_second_time()
        open("collected", "w").close()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        """,
        test_a="def test_a(): pass\n",
    )
    ran = await suite.run(workers=1, collect_timeout_s=4.0)
    assert ran.outcomes() == {"test_a": "error"}
    assert "worker gw0 did not answer in time before it was ready" in (ran.of("test_a").message or "")
    assert "hang_the_second_time" in ran.of("test_a").traceback


async def test_an_interpreter_with_nothing_but_pytest(suite, tmp_path):
    bare = tmp_path / "bare"
    packages = bare / "packages"
    packages.mkdir(parents=True)
    for name in ("pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments", "pluggy-*", "pytest-9*"):
        for source in Path(sys.modules["pytest"].__file__).parent.parent.glob(name):
            (packages / source.name).symlink_to(source)
    base = shutil.which("python3", path=str(Path(sys.base_prefix) / "bin"))
    env = {"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"}
    suite.write(
        test_bare="""
        import importlib.util, os, sys
        def test_bare():
            assert importlib.util.find_spec("netra_loop") is None
            assert importlib.util.find_spec("psutil") is None
            assert "" not in sys.path
            assert not any(path.endswith("agent") for path in sys.path)
            assert "HOME" not in os.environ
        """
    )
    ran = await suite.run(python=Path(base), env=env)
    assert ran.outcomes() == {"test_bare": "passed"}, ran.of("test_bare").traceback


async def test_each_test_has_the_line_of_its_own_function(suite):
    suite.write(
        test_a="""
            import functools, pytest
            two = pytest.mark.parametrize("n", (1, 2))

            @two
            def test_one(n): pass
            @two
            def test_other(n): pass

            class TestBase:
                @two
                def test_in(self, n): pass
            class TestHeir(TestBase):
                def test_own(self): pass

            def wrapped(function):
                @functools.wraps(function)
                def inner(): return function()
                return inner
            @wrapped
            def test_wrapped(): pass
        """
    )
    lines = {test.id.partition("::")[2]: test.line for test in (await suite.pool().collect()).tests}
    plain = collected_by_pytest(suite)
    assert lines == plain
    assert lines["test_one[2]"] != lines["test_other[2]"] != lines["TestHeir::test_in[1]"]


PRINTS_LINES = """
import json, pytest
class Lines:
    def pytest_collection_finish(self, session):
        found = {item.nodeid.partition("::")[2]: item.location[1] + 1 for item in session.items}
        print("\\n" + json.dumps(found))
pytest.main(["--collect-only", "-qq"], plugins=[Lines()])
"""


def collected_by_pytest(suite):
    command = [sys.executable, "-c", PRINTS_LINES]
    done = subprocess.run(command, cwd=suite.root, env=suite.options().env, check=True, stdout=subprocess.PIPE)
    return next(json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{"))
