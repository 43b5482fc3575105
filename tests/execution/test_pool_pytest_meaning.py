"""One suite of much that pytest can do, by plain pytest and by the pool: test by test the same, however it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "pytest.ini": """
        [pytest]
        addopts = --doctest-modules --doctest-glob=*.txt
        filterwarnings = error
        xfail_strict = true
        markers =
            known_broken: turned into an expected failure by the conftest
            again: run a second time by the conftest if it fails
            last: collected last
            left_out: deselected
        """,
    "conftest.py": """
        import os, threading
        import pytest
        from _pytest.runner import runtestprotocol

        def note(text):
            with open("notes", "a") as file: file.write(text + "\\n")

        if "KEEP_A_THREAD" in os.environ:
            threading.Thread(target=threading.Event().wait, daemon=True).start()

        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"):
                with open("finished", "a") as file: file.write(f"{os.getpid()}\\n")

        def pytest_collection_modifyitems(config, items):
            last = [item for item in items if item.get_closest_marker("last")]
            out = [item for item in items if item.get_closest_marker("left_out")]
            config.hook.pytest_deselected(items=out)
            items[:] = [item for item in items if item not in last and item not in out] + last

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            report = (yield).get_result()
            if item.get_closest_marker("known_broken") and report.failed:
                report.outcome, report.wasxfail = "skipped", "known to the conftest"

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            if not item.get_closest_marker("again"):
                return None
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            if any(report.failed for report in reports):
                item._initrequest()
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            return True

        @pytest.fixture(scope="session")
        def whole():
            note("+whole"); yield []; note("-whole")

        class Line(pytest.Item):
            def __init__(self, *, good, **given):
                super().__init__(**given)
                self.good = good
            def runtest(self): assert self.good
            def reportinfo(self): return self.path, 0, self.name

        class Lines(pytest.File):
            def collect(self):
                for line in self.path.read_text().split():
                    yield Line.from_parent(self, name=line, good=line != "bad")

        def pytest_collect_file(file_path, parent):
            return Lines.from_parent(parent, path=file_path) if file_path.suffix == ".lines" else None
        """,
    "some.lines": "good bad good good",
    "guide.txt": """
        >>> 1 + 1
        2
        """,
    "wrong.txt": """
        >>> 1 + 1
        3
        """,
    "documented.py": '''
        def add(a, b):
            """
            >>> add(1, 2)
            3
            """
            return a + b

        def skipped():
            """
            >>> skipped()  # doctest: +SKIP
            """
        ''',
    "test_scopes.py": """
        import pytest
        from conftest import note

        def setup_module(): note("setup_module")
        def teardown_module(): note("teardown_module")

        @pytest.fixture(scope="module", params=["p", "q"])
        def wide(request, whole):
            note("+wide " + request.param); yield request.param; note("-wide " + request.param)
        @pytest.fixture(scope=lambda fixture_name, config: "class")
        def dynamic():
            note("+dynamic"); yield; note("-dynamic")
        @pytest.fixture
        def first(request):
            request.addfinalizer(lambda: note("-first (1)"))
            request.addfinalizer(lambda: note("-first (2)"))
        @pytest.fixture(autouse=True)
        def around(request):
            note("+" + request.node.name); yield; note("-" + request.node.name)

        def test_a(wide, first): assert wide in "pq"
        @pytest.mark.parametrize("n", [1, 2])
        def test_b(n, wide): assert (n, wide) != (2, "q")
        def test_without(): pass

        @pytest.mark.usefixtures("dynamic")
        class TestInOne:
            @classmethod
            def setup_class(cls): note("setup_class")
            @classmethod
            def teardown_class(cls): note("teardown_class")
            def setup_method(self, method): note("setup_method")
            def teardown_method(self, method): note("teardown_method")
            def test_c(self, wide): pass
            def test_d(self): assert False

        @pytest.fixture(scope="class")
        def broken(): raise LookupError("the class's own")

        @pytest.mark.usefixtures("broken")
        class TestOfAClass:
            def test_e(self): pass
            def test_f(self): pass
        """,
    "package/__init__.py": "",
    "package/conftest.py": """
        import pytest
        @pytest.fixture(scope="package", autouse=True)
        def box():
            note("+box"); yield; note("-box")
        def note(text):
            with open("notes", "a") as file: file.write(text + "\\n")
        """,
    "package/test_one.py": "def test_one(): pass\n",
    "package/test_two.py": "def test_two(whole): pass\n",
    "test_after.py": "def test_after(whole): pass\n",
    "test_ids.py": """
        import pytest
        NAMES = ["a\\nb", "ü", "a::b", "a/b", "nul\\0", "\\x1b[31m", "x" * 300, "[", "", " ", "-x", "\\\\", "\\udc80"]
        @pytest.mark.parametrize("value", NAMES)
        def test_text(value): assert value != "a::b"
        @pytest.mark.parametrize("value", [b"\\xff", 1.5, None, object, (1, 2), "same", "same"])
        def test_values(value): pass
        @pytest.mark.parametrize("value", [pytest.param(1, id="grün"), pytest.param(2, marks=pytest.mark.skip("two"))])
        def test_given(value): pass
        """,
    "test_hooks.py": """
        import pytest
        ran = []
        @pytest.mark.known_broken
        def test_known_broken(): assert False
        @pytest.mark.again
        def test_again():
            ran.append(1)
            assert len(ran) == 2
        @pytest.mark.again
        def test_again_in_vain(): assert False
        @pytest.mark.left_out
        def test_left_out(): assert False
        @pytest.mark.last
        def test_last(): pass
        """,
    "test_streams.py": """
        import logging, os, subprocess, sys, warnings
        import pytest

        KEY = pytest.StashKey()

        def test_capsys(capsys):
            print("out"); print("err", file=sys.stderr)
            assert capsys.readouterr() == ("out\\n", "err\\n")
        def test_capfd(capfd):
            subprocess.run(["echo", "child"], check=True)
            assert capfd.readouterr().out == "child\\n"
        def test_capfdbinary(capfdbinary):
            os.write(1, b"\\xff")
            assert capfdbinary.readouterr().out == b"\\xff"
        def test_capteesys(capteesys):
            print("seen")
            assert capteesys.readouterr().out == "seen\\n"
        def test_disabled(capsys):
            with capsys.disabled(): print("past the capture")
            assert capsys.readouterr().out == ""
        def test_caplog(caplog):
            logging.getLogger("some").warning("logged")
            assert [record.message for record in caplog.records] == ["logged"]
        def test_recwarn(recwarn):
            warnings.warn("kept", UserWarning)
            assert len(recwarn) == 1
        def test_warning(): warnings.warn("not kept", UserWarning)
        def test_unraisable():
            class Bad:
                def __del__(self): raise KeyError("in __del__")
            Bad()
        def test_tmp_path(tmp_path, tmp_path_factory):
            assert list(tmp_path.iterdir()) == []
            assert tmp_path.parent == tmp_path_factory.getbasetemp()
        def test_cache(pytestconfig):
            pytestconfig.cache.set("some/key", [1])
            assert pytestconfig.cache.get("some/key", None) == [1]
        def test_stash(request):
            request.config.stash[KEY] = request.node.stash[KEY] = 1
        def test_stdin():
            with pytest.raises(OSError): sys.stdin.read()
        def test_record(record_property, record_testsuite_property): record_property("a", 1)
        """,
    "test_unit.py": """
        import unittest

        def setUpModule(): pass

        class Async(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self): self.value = 1
            async def test_passes(self): self.assertEqual(self.value, 1)
            async def test_fails(self): self.assertEqual(self.value, 2)

        class Parts(unittest.TestCase):
            def test_some_fail(self):
                for n in range(4):
                    with self.subTest("part", n=n): self.assertNotEqual(n % 2, 1)
            def test_a_part_skips(self):
                with self.subTest(n=0): self.skipTest("this part")
            def test_all_pass(self):
                with self.subTest(n=0): pass
            def test_part_and_whole_fail(self):
                with self.subTest(n=0): self.fail("part")
                raise KeyError("whole")
            @unittest.expectedFailure
            def test_expected(self):
                with self.subTest(n=0): self.fail("part")

        class Broken(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise OSError("no class")
            def test_one(self): pass

        class Cleaned(unittest.TestCase):
            def setUp(self): self.addCleanup(self.clean)
            def clean(self): raise RuntimeError("no cleanup")
            def test_one(self): pass
        """,
    "test_subtests.py": """
        import pytest
        def test_some_fail(subtests):
            for n in range(3):
                with subtests.test("part", n=n): assert n != 1
        def test_all_pass(subtests):
            with subtests.test(): pass
        def test_a_part_skips(subtests):
            with subtests.test(): pytest.skip("this part")
        @pytest.mark.xfail(reason="known", strict=False)
        def test_expected(subtests):
            with subtests.test(): assert False
        def test_part_and_whole_fail(subtests):
            with subtests.test(): assert False
            raise KeyError("whole")
        """,
    "test_marked.py": "import pytest\npytestmark = pytest.mark.skip('a module')\ndef test_one(): assert False\n",
    "test_leaves.py": "import pytest\npytest.skip('not here', allow_module_level=True)\ndef test_one(): pass\n",
    "test_lacks.py": "import pytest\npytest.importorskip('no_such_module')\ndef test_one(): pass\n",
    "test_cannot_be_read.py": "def test_one(: pass\n",
    "test_raises.py": "raise RuntimeError('at import')\n",
}

PLAIN = """
import json, sys
import pytest

class Reporter:
    rows = {}
    def pytest_runtest_logstart(self, nodeid):
        self.name, number = nodeid, 2
        while self.name in self.rows:
            self.name, number = f"{nodeid} #{number}", number + 1
        self.rows[self.name] = []
    def pytest_runtest_logreport(self, report):
        category = self.config.hook.pytest_report_teststatus(report=report, config=self.config)[0]
        doctest = getattr(report.longrepr, "reprlocation_lines", None)
        crash = doctest[0][0] if doctest else getattr(report.longrepr, "reprcrash", None)
        skip = isinstance(report.longrepr, tuple)
        words = report.longrepr[2] if skip else crash.message if crash else str(report.longrepr)
        if hasattr(report, "context") and not report.failed:
            return  # a subtest: what it was counts beside its test, not for it
        self.rows[self.name].append((category, words))
    def pytest_configure(self, config):
        self.config = config
    def pytest_collectreport(self, report):
        if report.failed: self.broken.append(report.nodeid)
    broken = []

pytest.main(["--continue-on-collection-errors", *sys.argv[2:]], plugins=[Reporter()])
json.dump([Reporter.rows, Reporter.broken], open(sys.argv[1], "w"))
"""

MODES = {
    "one worker": {"workers": 1},
    "four workers": {"workers": 4},
    "a process for each": {"workers": 4, "isolation": "test"},
    "spawned": {"workers": 2, "thread": True},
}


def environment(**more: str) -> dict[str, str]:
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}
    return {name: value for name, value in env.items() if not name.startswith("PYTEST_XDIST")}


def worst(reports: list[list[str]]) -> tuple[str, str]:
    """What plain pytest counts of one test, by its worst word, and the first line of that report."""
    for wanted in ("failed", "error", "xfailed", "xpassed", "skipped"):
        for category, words in reports:
            if category == wanted:
                return wanted, kind(wanted, words)
    return "passed", ""


def kind(outcome: str, words: str) -> str:
    line = (words.splitlines() or [""])[0]
    if outcome == "skipped":
        return line.removeprefix("Skipped: ")
    if outcome == "error":
        line = line.removeprefix("setup: ").removeprefix("teardown: ")
    return line.split(":")[0].split(" ")[0] if outcome in {"failed", "error"} else ""


def write(root: Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        lines = text.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, tuple[str, str]], list[str], list[str]]:
    """Plain pytest's outcomes, the files it could not collect, and the fixtures' notes."""
    root = tmp_path_factory.mktemp("plain")
    write(root)
    said = root.parent / "said.json"
    command = [sys.executable, "-c", PLAIN, str(said)]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=True)
    rows, broken = json.loads(said.read_text())
    assert rows, done.stdout
    return {test: worst(reports) for test, reports in rows.items()}, broken, (root / "notes").read_text().splitlines()


@pytest.mark.parametrize("mode", MODES)
async def test_each_test_comes_out_as_in_plain_pytest(suite, plain, mode):
    expected, broken, notes = plain
    write(suite.root)
    options = dict(MODES[mode])
    thread = {"KEEP_A_THREAD": "1"} if options.pop("thread", False) else {}
    ran = await suite.run(env=environment(**thread), **options)
    found = {event.id: (str(event.outcome), kind(event.outcome, event.message or "")) for event in ran.finished}
    assert found == expected, ran.collection.fatal
    assert len(found) > 75
    assert [error.id for error in ran.collection.errors] == broken
    assert ran.collection.deselected == 1
    assert bool(ran.notices) == bool(thread)
    processes = (suite.root / "finished").read_text().split()
    assert len(processes) == len(set(processes)), "a process finished its session twice"
    assert len(processes) >= (len(found) if "isolation" in options else options["workers"])
    if mode == "one worker":
        assert (suite.root / "notes").read_text().splitlines() == notes, "fixtures came and went in another order"


async def test_a_failed_subtest_is_named_and_never_reads_as_a_pass(suite):
    write(suite.root)
    ran = await suite.run(only=lambda name: "some_fail" in name, env=environment())
    assert {event.id: (str(event.outcome), event.message) for event in ran.finished} == {
        "test_unit.py::Parts::test_some_fail": (
            "failed",
            "AssertionError: 1 == 1 [failed subtests: [part] (n=1), [part] (n=3)]",
        ),
        "test_subtests.py::test_some_fail": ("failed", "assert 1 != 1 [failed subtests: [part] (n=1)]"),
    }


async def test_what_a_test_fakes_or_forbids_does_not_reach_what_tells_its_result(suite):
    suite.write(
        test_fakes="""
        import os, socket, sys

        def test_fakes(monkeypatch):
            def forbidden(*args, **kwargs): raise RuntimeError("forbidden here")
            real = [os.fstat, os.pread, os.ftruncate]
            for module in [module for name, module in sys.modules.items() if name.startswith("netra_loop_agent")]:
                for name, value in list(vars(module).items()):
                    if any(value is function for function in real): monkeypatch.setattr(module, name, forbidden)
            for method in ("send", "sendall", "recv", "fileno"): monkeypatch.setattr(socket.socket, method, forbidden)
            print("said")
        """
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_fakes": "passed"}, ran.of("test_fakes").traceback
    assert "said" in ran.of("test_fakes").output


@pytest.mark.parametrize("thread", [{}, {"KEEP_A_THREAD": "1"}])
async def test_what_is_configured_sees_a_controller_and_what_is_run_a_worker(suite, thread):
    suite.write(
        conftest="""
        import os, threading
        if "KEEP_A_THREAD" in os.environ:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        def pytest_configure(config):
            config.seen = (hasattr(config, "workerinput"), "PYTEST_XDIST_WORKER" in os.environ)
        """,
        test_seen="""
        import os
        def test_seen(pytestconfig):
            assert pytestconfig.seen == (False, False)
            assert pytestconfig.workerinput["workerid"] == os.environ["PYTEST_XDIST_WORKER"] == "gw0"
        """,
    )
    ran = await suite.run(workers=1, env=environment(**thread))
    assert ran.outcomes() == {"test_seen": "passed"}
    assert bool(ran.notices) == bool(thread)


async def test_a_test_finds_itself_in_pytest_and_among_the_objects_of_collection_time(suite):
    suite.write(
        test_self="""
        import gc, multiprocessing, os, sys
        import pytest

        kept = object()
        holder = [kept]

        def test_script():
            script = sys.modules["__main__"].__file__
            assert script == sys.argv[0] and os.path.isfile(script)
            assert os.path.basename(script) in ("pytest", "__main__.py")
        def test_spawned():
            process = multiprocessing.get_context("spawn").Process(target=len, args=("abc",))
            process.start(); process.join()
            assert process.exitcode == 0
        def test_referrers(): assert holder in gc.get_referrers(kept)
        def test_all_objects(): assert any(one is holder for one in gc.get_objects())
        def test_collector_works(): assert gc.isenabled() and gc.get_threshold()[0] > 0
        """
    )
    ran = await suite.run(workers=2)
    assert set(ran.outcomes().values()) == {"passed"}


async def test_a_threshold_of_the_collector_that_a_conftest_set_is_kept(suite):
    suite.write(
        conftest="import gc\ngc.set_threshold(321)\n",
        test_it="import gc\ndef test_it(): assert gc.get_threshold()[0] == 321\n",
    )
    assert (await suite.run(workers=1)).outcomes() == {"test_it": "passed"}


async def test_what_outlives_a_test_that_wore_its_process_out_is_torn_down_in_its_result(suite):
    suite.write(
        test_worn="""
        import signal
        import pytest
        @pytest.fixture(scope="module")
        def wide():
            yield
            raise RuntimeError("teardown of wide is broken")
        def test_wears_out(wide): signal.setitimer(signal.ITIMER_REAL, 3000)
        def test_after(): pass
        """
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_wears_out": "error", "test_after": "passed"}
    assert ran.of("test_wears_out").message == "teardown: RuntimeError: teardown of wide is broken"


async def test_who_is_handed_the_next_item_may_ask_whether_there_is_none(suite):
    suite.write(
        conftest="""
        def pytest_runtest_teardown(item, nextitem):
            following = None if nextitem is None else nextitem.parent.name
            with open("following", "a") as file: print(item.name, following, file=file)
        """,
        test_next="""
        import time
        def test_slow(): time.sleep(0.3)
        def test_fast(): pass
        """,
    )
    ran = await suite.run(workers=1)
    assert set(ran.outcomes().values()) == {"passed"}
    assert (suite.root / "following").read_text().splitlines() == ["test_slow test_next.py", "test_fast None"]


async def test_a_plugin_may_run_each_test_in_a_fork_of_its_own(suite):
    suite.write(
        conftest="""
        import json, os
        import pytest
        from _pytest.runner import runtestprotocol

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                reports = runtestprotocol(item, log=False)
                os.write(write, json.dumps([report._to_json() for report in reports], default=str).encode())
                os._exit(0)
            os.close(write)
            with open(read) as told: reports = json.load(told)
            os.waitpid(pid, 0)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=pytest.TestReport._from_json(report))
            return True
        """,
        test_forked="""
        def test_good(): pass
        def test_bad(): assert False
        """,
    )
    ran = await suite.run(workers=1)
    assert ran.outcomes() == {"test_good": "passed", "test_bad": "failed"}


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("os._exit(7)", "worker gw0 exited with code 7 outside any test, before all was torn down"),
        ("raise LookupError('the last word')", "worker gw0 did not end well: LookupError: the last word"),
    ],
)
async def test_an_end_of_the_session_that_goes_wrong_is_told(suite, ending, told):
    suite.write(
        conftest=f"""
        import os
        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"): {ending}
        """,
        test_ends="def test_good(): pass\n",
    )
    ran = await suite.run(workers=1)
    assert (ran.outcomes(), ran.notices) == ({"test_good": "passed"}, [told])
