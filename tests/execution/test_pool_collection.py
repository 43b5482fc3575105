"""What a collection tells, and how it fails."""

from __future__ import annotations

import shutil
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
    ],
)
async def test_what_stops_collection_is_told_in_its_own_words(suite, files, args, said):
    suite.write(**files)
    collection = await suite.pool(args=args).collect()
    assert collection.fatal is not None
    assert said in collection.fatal


async def test_an_interpreter_that_is_not_there(suite):
    collection = await suite.pool(python=Path("/nonexistent/python")).collect()
    assert collection.fatal is not None
    assert "/nonexistent/python could not be started" in collection.fatal


async def test_a_collection_that_hangs_is_ended_with_its_stacks(suite):
    suite.write(test_hang="import time\ndef wait_for_ever(): time.sleep(600)\nwait_for_ever()\n")
    collection = await suite.pool(collect_timeout_s=1.5).collect()
    assert collection.fatal is not None
    assert "collection did not end within 1.5 s" in collection.fatal
    assert "wait_for_ever" in collection.fatal


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
