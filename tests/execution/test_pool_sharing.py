"""Fixtures wider than a test: told at collection, timed, and kept up in the worker that holds them."""

from __future__ import annotations

from collections import Counter

from netra_loop.execution.base import Finished, Planned

WIDE = """
    import time
    import unittest
    import pytest

    def setup_module(): pass

    @pytest.fixture(scope="session")
    def whole(): time.sleep(0.03)
    @pytest.fixture(scope="module", params=["a", "b"])
    def server(request, whole):
        time.sleep(0.05)
        yield
        time.sleep(0.02)
    @pytest.fixture
    def narrow(): return 1

    def test_server(server, narrow): pass
    def test_nothing(narrow): pass

    class TestClass:
        @pytest.fixture(scope="class", autouse=True)
        def once(self): yield
        def test_in_class(self): pass

    class Idle(unittest.TestCase):
        def test_idle(self): pass
    class Busy(unittest.TestCase):
        @classmethod
        def setUpClass(cls): pass
        def test_busy(self): pass
    """


async def test_the_collection_says_what_each_test_shares(suite):
    suite.write(test_wide=WIDE)
    collection = await suite.pool().collect()
    module = "test_wide.py::@_xunit_setup_module_fixture_test_wide"
    shares = {test.id.partition("::")[2]: set(test.shares) - {module} for test in collection.tests}
    assert all(module in test.shares for test in collection.tests)
    assert shares == {
        "test_server[a]": {"test_wide.py::@server[0]"},
        "test_server[b]": {"test_wide.py::@server[1]"},
        "test_nothing": set(),
        "TestClass::test_in_class": {"test_wide.py::TestClass::@once"},
        "Idle::test_idle": set(),
        "Busy::test_busy": {"test_wide.py::Busy::@_unittest_setUpClass_fixture_Busy"},
    }


async def test_a_result_says_what_shared_fixtures_took_of_it(suite):
    suite.write(test_wide=WIDE)
    ran = await suite.run(workers=1)
    first, second = ran.of("test_server[a]"), ran.of("test_server[b]")
    assert first.fixtures["test_wide.py::@server[0]"] >= 0.05
    assert first.wider_s >= first.fixtures["test_wide.py::@server[0]"] + 0.03
    assert first.wider_s <= first.duration_s
    assert {*first.fixtures, *second.fixtures} >= {"test_wide.py::@server[0]", "test_wide.py::@server[1]"}
    teardown = max(event.fixtures.get("test_wide.py::@server[0]", 0.0) for event in ran.finished)
    assert teardown >= 0.07
    assert ran.of("test_nothing").wider_s <= ran.of("test_nothing").duration_s


async def test_a_failing_set_up_is_timed_and_changes_nothing(suite):
    suite.write(
        test_broken="""
        import pytest
        @pytest.fixture(scope="module")
        def broken(): raise RuntimeError("no")
        @pytest.mark.parametrize("n", range(2))
        def test_n(n, broken): pass
        """
    )
    ran = await suite.run(workers=1)
    assert set(ran.outcomes().values()) == {"error"}
    assert all(event.message == "setup: RuntimeError: no" for event in ran.finished)


async def test_tests_of_one_fixture_stay_in_the_worker_that_holds_it_up(suite):
    module = """
        import pytest, time
        @pytest.fixture(scope="module")
        def server():
            with open("log", "a") as file: file.write(__name__ + " ")
        @pytest.mark.parametrize("n", range(6))
        def test_n(n, server): time.sleep(0.01)
        """
    suite.write(test_a=module, test_b=module)
    pool = suite.pool(workers=2)
    collection = await pool.collect()
    plan = [
        Planned(test.id, 1, f"{number:032x}", seconds=0.01, fixtures=tuple((name, 5.0) for name in test.shares))
        for number, test in enumerate(collection.tests)
    ]
    finished = [event async for event in pool.run(plan) if isinstance(event, Finished)]
    assert Counter(event.id.partition("::")[0] for event in finished) == {"test_a.py": 6, "test_b.py": 6}
    assert sorted((suite.root / "log").read_text().split()) == ["test_a", "test_b"]


async def test_workers_without_use_end_and_the_run_goes_on(suite):
    suite.write(
        test_one="""
        import os, pytest
        @pytest.fixture(scope="module")
        def server(): pass
        @pytest.mark.parametrize("n", range(4))
        def test_n(n, server):
            if n == 1: os._exit(3)
        """
    )
    pool = suite.pool(workers=3)
    collection = await pool.collect()
    plan = [
        Planned(test.id, 1, f"{number:032x}", seconds=0.01, fixtures=tuple((name, 60.0) for name in test.shares))
        for number, test in enumerate(collection.tests)
    ]
    finished = [event async for event in pool.run(plan) if isinstance(event, Finished)]
    assert Counter(str(event.outcome) for event in finished) == {"passed": 3, "crashed": 1}
