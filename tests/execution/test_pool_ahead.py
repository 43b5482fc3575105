"""An interpreter that is started before it is known what it is to collect."""

from __future__ import annotations

import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from netra_loop import processes
from netra_loop.execution.pool_ahead import Ahead
from netra_loop.execution.pool_begun import Begun

TELLS = """
    import os, sys
    from pathlib import Path
    with Path("told").open("a") as told:
        print(os.getpid(), os.environ.get("NETRA_LOOP_SESSION"), os.environ.get("MINE"), file=told)
"""


@asynccontextmanager
async def begun(suite, **changes):
    options = suite.options(testrun_uid="one", **changes)
    ahead = Ahead(Begun(options.python, options.root, options.env))
    try:
        yield ahead, options
    finally:
        await ahead.end()


def told(suite):
    return [line.split()[1:] for line in (suite.root / "told").read_text().splitlines()]


def is_known(pid):
    """To the kernel, be it as a zombie."""
    return Path("/proc", str(pid)).exists()


def given(options, **more):
    return {**options.env, **more}


async def test_a_pool_takes_over_what_it_has_collected(suite):
    suite.write(conftest=TELLS, test_a="def test_a(): pass")
    async with begun(suite) as (ahead, options):
        wanted = replace(options, env=given(options, NETRA_LOOP_SESSION="night-1"))
        ahead.collect(wanted)
        ran = await suite.run(ahead=ahead, testrun_uid="one", env=wanted.env)
    assert ran.outcomes() == {"test_a": "passed"}
    assert told(suite) == [["night-1", "None"]]


async def test_nothing_of_the_project_is_imported_before_it_is_told_to_collect(suite):
    suite.write(conftest=TELLS, test_a="def test_a(): pass")
    async with begun(suite) as (ahead, options):
        assert await ahead.serves(options)
        assert not (suite.root / "told").exists()
        wanted = replace(options, env=given(options, NETRA_LOOP_SESSION="night-2"))
        ran = await suite.run(ahead=ahead, testrun_uid="one", env=wanted.env)
    assert ran.outcomes() == {"test_a": "passed"}
    assert told(suite) == [["night-2", "None"]]


async def test_a_variable_of_its_own_that_came_later_is_not_taken_away_from_the_tests(suite):
    suite.write(test_a="import os\ndef test_a(): assert 'NETRA_LOOP_TOKEN' not in os.environ")
    async with begun(suite, env=given(suite.options(), NETRA_LOOP_TOKEN="old")) as (ahead, _):
        ran = await suite.run(ahead=ahead, testrun_uid="one")
    assert ran.outcomes() == {"test_a": "passed"}


@pytest.mark.parametrize("early", [True, False])
async def test_a_pool_with_another_environment_starts_its_own(suite, early):
    suite.write(conftest=TELLS, test_a="def test_a(): pass")
    async with begun(suite) as (ahead, options):
        if early:
            ahead.collect(options)
        ran = await suite.run(ahead=ahead, testrun_uid="one", env=given(options, MINE="so"))
        assert not ahead.board.folder.exists()
    assert ran.outcomes() == {"test_a": "passed"}
    assert told(suite)[-1] == ["None", "so"]


async def test_what_was_ordered_ahead_serves_nothing_else(suite):
    async with begun(suite) as (ahead, options):
        ahead.collect(options)
        assert await ahead.serves(options)
        assert not await ahead.serves(replace(options, args=("-k", "one")))
        assert not await ahead.serves(replace(options, env=given(options, NETRA_LOOP_SESSION="another")))


async def test_one_that_cannot_be_started_serves_nobody_and_the_pool_says_why(suite):
    suite.write(test_a="def test_a(): pass")
    missing = suite.root / "no-python"
    async with begun(suite, python=missing) as (ahead, options):
        assert not await ahead.serves(options)
        collection = await suite.pool(ahead=ahead, testrun_uid="one", python=missing).collect()
    assert str(missing) in collection.fatal


async def test_one_that_dies_early_is_a_failed_collection(suite):
    suite.write(test_a="def test_a(): pass")
    async with begun(suite) as (ahead, options):
        assert await ahead.serves(options)
        for who in processes.carrying("NETRA_LOOP_POOL", ahead.board.folder.name):
            processes.send(who, signal.SIGKILL)
        collection = await suite.pool(ahead=ahead, testrun_uid="one").collect()
    assert "killed by SIGKILL before its collection was complete" in collection.fatal


async def test_the_end_leaves_nothing(suite):
    suite.write(conftest="import time\ntime.sleep(60)")
    async with begun(suite) as (ahead, options):
        assert await ahead.serves(options)
        ahead.collect(options)
        mark = ahead.board.folder.name
        assert processes.carrying("NETRA_LOOP_POOL", mark)
    assert not processes.carrying("NETRA_LOOP_POOL", mark)
    assert not ahead.board.folder.exists()


async def test_a_pool_that_is_closed_unused_ends_it(suite):
    async with begun(suite) as (ahead, options):
        assert await ahead.serves(options)
        await suite.pool(ahead=ahead).close()
        assert not ahead.board.folder.exists()


async def test_its_place_is_told_by_interpreter_and_folder(suite, tmp_path):
    async with begun(suite) as (ahead, options):
        assert ahead.matches(options)
        assert not ahead.matches(replace(options, root=tmp_path))
        assert not ahead.matches(replace(options, python=Path(sys.executable + "-other")))


async def test_one_that_is_ended_before_anybody_looked_after_it_leaves_nothing(suite):
    options = suite.options()
    begun = Begun(options.python, options.root, options.env)
    assert begun.folder.path.exists()
    await Ahead(begun).end()
    assert not begun.folder.path.exists()
    assert not is_known(begun.guardian.pid)
    assert not processes.carrying("NETRA_LOOP_POOL", begun.folder.path.name)
