"""What tests come from is told as the process that runs them had collected it."""

from __future__ import annotations

from hashlib import sha256

import pytest

from netra_loop.execution.base import Finished, Planned

ONE = "def test_one(): pass\n"
TWO = "def test_one(): assert True\n"


def digest(text):
    return sha256(text.encode()).hexdigest()


def without_settings(sources):
    return {path: found for path, found in sources.files.items() if not path.endswith("pytest.ini")}


async def run(pool, *ids):
    plan = [Planned(test, 1, "0" * 32) for test in ids]
    return [event async for event in pool.run(plan) if isinstance(event, Finished)]


async def test_each_test_s_file_and_the_conftests_above_it_are_told(suite):
    (suite.root / "deep").mkdir()
    (suite.root / "elsewhere").mkdir()
    suite.write(**{"conftest": "", "test_one": ONE, "deep/conftest": "# deep", "deep/test_two": TWO})
    suite.write(**{"elsewhere/conftest": "", "elsewhere/helper": "", "elsewhere/test_three": ONE})
    sources = (await suite.pool().collect()).sources
    assert without_settings(sources) == {
        "conftest.py": digest(""),
        "test_one.py": digest(ONE),
        "deep/conftest.py": digest("# deep"),
        "deep/test_two.py": digest(TWO),
        "elsewhere/conftest.py": digest(""),
        "elsewhere/test_three.py": digest(ONE),
    }
    assert sources.conftests["test_one.py"] == ["conftest.py"]
    assert set(sources.conftests["deep/test_two.py"]) == {"conftest.py", "deep/conftest.py"}


async def test_a_conftest_above_pytest_s_folder_is_told_by_its_whole_path(suite):
    above = suite.root.parent / "conftest.py"
    above.write_text("")
    suite.write(test_one=ONE)
    (suite.root / "pytest.ini").rename(suite.root.parent / "pytest.ini")
    sources = (await suite.pool().collect()).sources
    assert sources.conftests == {"test_one.py": [str(above)], "": [str(above.parent / "pytest.ini")], "*": []}
    assert sources.files[str(above)] == digest("")


async def test_the_file_that_an_inherited_test_is_written_in_is_told(suite):
    base = "import functools\nclass Base:\n    @functools.lru_cache\n    def test_it(self): pass\n"
    suite.write(base=base, test_one="from base import Base\nclass TestIt(Base):\n    def test_own(self): pass\n")
    collection = await suite.pool().collect()
    assert {test.id.rpartition("::")[2]: test.source for test in collection.tests} == {
        "test_it": "base.py",
        "test_own": None,
    }
    assert collection.sources.files["base.py"] == digest(base)


async def test_a_library_s_test_is_not_looked_into(suite):
    suite.write(test_one="import unittest, json\nclass TestIt:\n    test_it = staticmethod(json.dumps)\n")
    collection = await suite.pool().collect()
    assert [test.source for test in collection.tests] == [None]
    assert set(without_settings(collection.sources)) == {"test_one.py"}


async def test_a_file_that_gave_no_test_is_told_with_its_conftests(suite):
    files = {
        "test_broken": "import nowhere_to_be_found\n",
        "test_skipped": "import pytest\npytest.skip('not today', allow_module_level=True)\n",
        "test_left_out": "def test_other(): pass\n",
        "test_one": ONE,
    }
    suite.write(conftest="", **files)
    collection = await suite.pool(args=("-k", "test_one")).collect()
    assert [test.id for test in collection.tests] == ["test_one.py::test_one"]
    for name, text in files.items():
        assert collection.sources.files[f"{name}.py"] == digest(text)
        assert collection.sources.conftests[f"{name}.py"] == ["conftest.py"]


async def test_a_plugin_of_the_project_is_told(suite):
    suite.write(conftest="pytest_plugins = ['helping']\n", helping="# helps", beside="", test_one=ONE)
    sources = (await suite.pool().collect()).sources
    assert sources.files["helping.py"] == digest("# helps")
    assert "helping.py" in sources.conftests[""]
    assert "beside.py" not in sources.files


@pytest.mark.parametrize(
    ("name", "text", "section"),
    [
        ("pytest.ini", "[pytest]\n{}\n", ""),
        ("pyproject.toml", "[project]\nname = 'x'\n[tool.pytest.ini_options]\n{}\n[tool.other]\nx = '{}'\n", "'"),
    ],
)
async def test_pytest_s_settings_are_told_and_what_else_is_in_their_file_is_not(suite, name, text, section):
    (suite.root / "pytest.ini").unlink()

    async def seen(setting, other=""):
        line = f"addopts = {section}{setting}{section}"
        (suite.root / name).write_text(text.format(line, other))
        sources = (await suite.pool().collect()).sources
        assert sources.conftests[""] == [name]
        return sources.files[name]

    suite.write(test_one=ONE)
    first = await seen("-m 'not slow'" if not section else '-m "not slow"')
    assert await seen("-m 'not slow'" if not section else '-m "not slow"', "another library") == first
    assert await seen("-q") != first


async def test_a_fork_runs_what_was_collected_whatever_became_of_the_file(suite):
    suite.write(test_one=ONE)
    pool = suite.pool()
    collection = await pool.collect()
    suite.write(test_one=TWO)
    (finished,) = await run(pool, "test_one.py::test_one")
    assert finished.sources == collection.sources


async def test_a_worker_that_collects_for_itself_tells_what_it_found(suite):
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    suite.write(conftest=threads, test_one=ONE)
    pool = suite.pool()
    collection = await pool.collect()
    suite.write(test_one=TWO)
    (finished,) = await run(pool, "test_one.py::test_one")
    assert collection.sources.files["test_one.py"] == digest(ONE)
    assert finished.sources.files["test_one.py"] == digest(TWO)


@pytest.mark.parametrize("name", ["test_one.py::test_gone"])
async def test_what_never_ran_came_from_nowhere(suite, name):
    suite.write(test_one=ONE)
    pool = suite.pool()
    await pool.collect()
    (finished,) = await run(pool, name)
    assert finished.sources is None
