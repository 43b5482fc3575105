"""What pytest means, unchanged by running in forks: outcomes, fixtures, xdist's conventions, collection."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys

import pytest

from netra_loop.processes import identify

ZOO = """
    import unittest
    import warnings
    import pytest

    @pytest.fixture(scope="session")
    def whole(): return []
    @pytest.fixture(scope="module")
    def part(whole):
        yield whole
    @pytest.fixture
    def broken(): raise RuntimeError("no setup")
    @pytest.fixture
    def leaking():
        yield
        raise RuntimeError("no teardown")
    @pytest.fixture
    def skipping(): pytest.skip("not here")

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_number(n, part): assert n != 2
    def test_skip(): pytest.skip("why not")
    def test_skip_in_setup(skipping): pass
    @pytest.mark.skipif(True, reason="always")
    def test_skipif(): pass
    @pytest.mark.xfail(reason="known")
    def test_xfail(): assert False
    @pytest.mark.xfail
    def test_xpass(): pass
    @pytest.mark.xfail(strict=True)
    def test_strict_xpass(): pass
    @pytest.mark.xfail(raises=KeyError)
    def test_xfail_of_another_kind(): raise ValueError
    def test_setup_error(broken): pass
    def test_teardown_error(leaking): pass
    def test_failure_and_teardown_error(leaking): assert 0
    def test_capture(capsys):
        print("x")
        assert capsys.readouterr().out == "x\\n"
    def test_capture_of_descriptors(capfd):
        import os
        os.write(1, b"y")
        assert capfd.readouterr().out == "y"
    def test_folder(tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
    def test_fails_after_output():
        print("to stdout")
        raise ValueError("of two\\nlines")
    def test_exits(): raise SystemExit(0)

    class TestGrouped:
        @pytest.fixture(scope="class", autouse=True)
        def once(self): yield
        def test_one(self): pass
        def test_two(self): assert False

    class Case(unittest.TestCase):
        def setUp(self): self.value = 1
        def test_passes(self): self.assertEqual(self.value, 1)
        def test_fails(self): self.fail("unittest")
        @unittest.skip("unittest skips")
        def test_skipped(self): pass
        @unittest.expectedFailure
        def test_expected(self): self.fail()
        @unittest.expectedFailure
        def test_unexpected(self): pass
        def test_subtests(self):
            for n in range(3):
                with self.subTest(n=n): self.assertNotEqual(n, 1)
    """


def plainly(root: object) -> dict[str, str]:
    """Plain pytest's words for each test; an error beside a pass is an error, a failure stays one."""
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-v", "--tb=no", "--no-summary", "-p", "no:cacheprovider"]
    text = subprocess.run(command, cwd=str(root), env=env, capture_output=True, text=True, check=False).stdout
    said = re.findall(r"^\S+?::(\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", text, re.MULTILINE)
    found: dict[str, str] = {}
    for name, word in said:
        if found.get(name) != "failed":
            found[name] = {"XFAIL": "xfailed", "XPASS": "xpassed"}.get(word, word.lower())
    found["Case::test_subtests"] = "failed"  # pytest counts it beside a pass; one is a failure
    return found


@pytest.mark.parametrize("workers", [1, 4])
async def test_outcomes_are_those_of_plain_pytest(suite, workers):
    suite.write(test_zoo=ZOO)
    ran = await suite.run(workers=workers)
    expected = plainly(suite.root)
    assert len(expected) == 26
    assert ran.outcomes() == expected


async def test_a_result_says_what_pytest_said(suite):
    suite.write(test_zoo=ZOO)
    ran = await suite.run(workers=1)
    failed = ran.of("test_fails_after_output")
    assert failed.message == "ValueError: of two"
    assert 'raise ValueError("of two\\nlines")' in failed.traceback
    assert "to stdout" in failed.output
    assert ran.of("test_setup_error").message == "setup: RuntimeError: no setup"
    assert ran.of("test_skip").message == "why not"
    both = ran.of("test_failure_and_teardown_error").traceback
    assert "assert 0" in both
    assert "no teardown" in both


async def test_tests_begin_in_the_order_of_the_plan(suite):
    suite.write(test_order="import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_n(n): pass\n")
    ran = await suite.run(workers=1)
    assert [event.id for event in ran.started] == [test.id for test in ran.collection.tests]


async def test_fixtures_of_wider_scope_are_made_once_where_tests_are_adjacent(suite):
    module = """
        import pytest
        @pytest.fixture(scope="module")
        def part(whole):
            log("+" + __name__)
            yield
            log("-" + __name__)
        def log(text):
            with open("log", "a") as file: file.write(text + " ")
        @pytest.mark.parametrize("n", range(3))
        def test_n(n, part): pass
        """
    conftest = """
        import pytest
        @pytest.fixture(scope="session")
        def whole():
            with open("log", "a") as file: file.write("begin ")
            yield
            with open("log", "a") as file: file.write("end ")
        """
    suite.write(conftest=conftest, test_a=module, test_b=module)
    await suite.run(workers=1)
    assert (suite.root / "log").read_text() == "begin +test_a -test_a +test_b -test_b end "


async def test_an_error_in_the_last_teardown_of_a_session_fixture_belongs_to_the_last_test(suite):
    suite.write(
        test_session="""
        import pytest
        @pytest.fixture(scope="session", autouse=True)
        def whole():
            yield
            raise RuntimeError("at the very end")
        def test_one(): pass
        def test_two(): pass
        """
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_one": "passed", "test_two": "error"}


async def test_suites_written_for_xdist_find_what_they_expect(suite):
    suite.write(
        test_xdist="""
        import os, pytest
        @pytest.mark.parametrize("n", range(2))
        def test_worker(n, worker_id, testrun_uid, request, tmp_path_factory):
            assert os.environ["PYTEST_XDIST_WORKER"] == worker_id == request.config.workerinput["workerid"]
            assert os.environ["PYTEST_XDIST_WORKER_COUNT"] == "2"
            assert os.environ["PYTEST_XDIST_TESTRUNUID"] == testrun_uid == "the-run"
            assert tmp_path_factory.getbasetemp().name == "popen-" + worker_id
            print(worker_id)
        """
    )
    ran = await suite.run(testrun_uid="the-run")
    assert set(ran.outcomes().values()) == {"passed"}


async def test_workers_of_a_pool_beside_another_have_names_of_their_own(suite):
    suite.write(
        test_beside="""
        import os
        def test_worker(worker_id): assert (worker_id, os.environ["PYTEST_XDIST_WORKER_COUNT"]) == ("gw3", "4")
        """
    )
    ran = await suite.run(workers=1, first=3)
    assert ran.outcomes() == {"test_worker": "passed"}


async def test_xdist_itself_stays_inert(suite):
    (suite.root / "pytest.ini").write_text("[pytest]\naddopts = -p xdist -n 2 --dist loadgroup\n")
    suite.write(
        test_xdist="""
        import pytest
        @pytest.mark.xdist_group("one")
        def test_worker(worker_id): assert worker_id == "gw0"
        """
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_worker": "passed"}


async def test_a_group_runs_in_one_worker(suite):
    suite.write(
        test_group="""
        import pytest, time
        from pathlib import Path
        HERE = Path(__file__).parent
        def meet(name):
            (HERE / f"at-{name}").touch()
            end = time.monotonic() + 20
            while len(list(HERE.glob("at-*"))) < 3:
                assert time.monotonic() < end, "the others did not come"
                time.sleep(0.001)
        @pytest.mark.xdist_group("together")
        @pytest.mark.parametrize("n", range(4))
        def test_grouped(n): n or meet("grouped")
        @pytest.mark.parametrize("n", range(4))
        def test_other(n): n > 1 or meet(n)
        """
    )
    ran = await suite.run(workers=3)
    assert set(ran.outcomes().values()) == {"passed"}
    assert len({event.worker for event in ran.finished if "grouped" in event.id}) == 1
    assert len({event.worker for event in ran.finished}) == 3


async def test_one_process_for_each_test_under_isolation_test(suite):
    suite.write(
        test_pid="""
        import os, pytest
        @pytest.mark.parametrize("n", range(5))
        def test_n(n): print("pid", os.getpid())
        """
    )
    ran = await suite.run(workers=2, isolation="test")
    assert len({event.output for event in ran.finished}) == 5


async def test_maxfail_loses_no_test_and_says_so(suite):
    suite.write(test_fails="def test_a(): assert 0\ndef test_b(): assert 0\n")
    ran = await suite.run(workers=1, args=("-x",))
    assert ran.outcomes() == {"test_a": "failed", "test_b": "failed"}
    assert any("maxfail" in warning for warning in ran.collection.warnings)


async def test_a_flood_of_output_is_kept_by_its_head_and_tail(suite):
    suite.write(
        test_flood="""
        import os
        def test_flood():
            print("first")
            for _ in range(64): os.write(1, b"x" * 65536)
            os.write(1, b"\\xff\\n")
            print("last")
        """
    )
    ran = await suite.run()
    flood = ran.of("test_flood")
    assert "first" in flood.output
    assert "last" in flood.output
    assert "bytes left out" in flood.output
    assert len(flood.output) < 150_000


async def test_a_test_that_was_not_collected_is_an_error(suite):
    from netra_loop.execution.base import Finished, Planned

    suite.write(test_one="def test_one(): pass\n")
    pool = suite.pool()
    await pool.collect()
    events = [event async for event in pool.run([Planned("test_gone.py::test_gone", 1, "0" * 32)])]
    (finished,) = [event for event in events if isinstance(event, Finished)]
    assert finished.outcome == "error"
    assert finished.message == (
        "test_gone.py::test_gone was selected, but pytest does not collect it any more; "
        "put the test back, or let the next iteration select anew"
    )


async def test_a_test_of_a_file_that_cannot_be_collected_any_more_says_why(suite):
    from netra_loop.execution.base import Finished, Planned

    suite.write(test_one="def test_one(): pass\n", test_gone="import no_such_module\n")
    pool = suite.pool()
    await pool.collect()
    plan = [Planned("test_gone.py::test_gone", 1, "0" * 32), Planned("test_one.py::test_one", 1, "1" * 32)]
    finished = {event.id: event async for event in pool.run(plan) if isinstance(event, Finished)}
    assert {test: str(event.outcome) for test, event in finished.items()} == {
        "test_gone.py::test_gone": "error",
        "test_one.py::test_one": "passed",
    }
    gone = finished["test_gone.py::test_gone"]
    assert "test_gone.py could not be collected; mend the collection" in gone.message
    assert "No module named 'no_such_module'" in gone.traceback


async def test_where_nothing_could_be_collected_each_test_says_so(suite):
    from netra_loop.execution.base import Finished, Planned

    suite.write(test_one="def test_one(): pass\n", conftest="import no_such_module\n")
    pool = suite.pool()
    fatal = (await pool.collect()).fatal
    events = [event async for event in pool.run([Planned("test_one.py::test_one", 1, "0" * 32)])]
    (finished,) = [event for event in events if isinstance(event, Finished)]
    assert "nothing could be collected" in finished.message
    assert (str(finished.outcome), finished.traceback) == ("error", fatal)


async def test_asked_again_it_answers_the_same_at_once(suite):
    suite.write(test_one="open('collected', 'a').write('once ')\ndef test_one(): pass\n")
    pool = suite.pool()
    first, second = await asyncio.gather(pool.collect(), pool.collect())
    assert first is second is await pool.collect()
    assert (suite.root / "collected").read_text() == "once "


async def test_a_cancelled_collection_may_be_asked_for_again(suite):
    suite.write(
        test_slow="""
        import os, time
        if not os.path.exists("again"):
            open("again", "w").close()
            open("pid", "w").write(str(os.getpid()))
            time.sleep(600)
        def test_one(): pass
        """
    )
    pool = suite.pool()
    collecting = asyncio.create_task(pool.collect())
    async with asyncio.timeout(60):
        while not (suite.root / "pid").exists() or not (suite.root / "pid").read_text():  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    assert identify(int((suite.root / "pid").read_text())) is None
    assert [test.id for test in (await pool.collect()).tests] == ["test_slow.py::test_one"]


async def test_a_pool_runs_again_after_one_collection(suite):
    from netra_loop.execution.base import Finished, Planned

    suite.write(test_one="def test_one(): pass\n")
    pool = suite.pool()
    await pool.collect()
    for attempt in (1, 2):
        events = [event async for event in pool.run([Planned("test_one.py::test_one", attempt, "1" * 32)])]
        assert [event.attempt for event in events if isinstance(event, Finished)] == [attempt]


async def test_a_pool_at_rest_has_no_process_and_runs_again_where_that_is_asked_for(suite):
    from netra_loop.execution.base import Finished, Planned

    suite.write(
        conftest="""
            import os
            def pytest_sessionfinish():
                if "PYTEST_XDIST_WORKER" not in os.environ:
                    with open("ended", "a") as ended: print(os.getpid(), file=ended)
        """,
        test_a="def test_a(): pass",
    )
    pool = suite.pool()
    (test,) = (test.id for test in (await pool.collect()).tests)
    for attempt in (1, 2):
        events = [event async for event in pool.run([Planned(test, attempt, "1" * 32)])]
        assert [str(event.outcome) for event in events if isinstance(event, Finished)] == ["passed"]
        pool.rest()
        pool.rest()
    await pool.close()
    assert len(set((suite.root / "ended").read_text().split())) == 2
