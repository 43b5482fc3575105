"""What tests have in common is looked up once, and told as if it were looked up for each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_SUITE = """
import pytest

class Base:
    @pytest.mark.parametrize("n", range(3))
    def test_inherited(self, n): pass

class TestOne(Base): pass

@pytest.mark.slow
class TestTwo(Base): pass

class TestThree(Base):
    @pytest.fixture(scope="class", params=["x", "y"], autouse=True)
    def server(self, request): return request.param

@pytest.mark.parametrize("n", [0, pytest.param(1, marks=pytest.mark.odd), 2, pytest.param(3, marks=pytest.mark.odd), 4])
@pytest.mark.xdist_group("five")
def test_marked(n): pass

@pytest.mark.parametrize("n", [0, pytest.param(1, marks=pytest.mark.xdist_group("closer")), 2])
@pytest.mark.xdist_group(name="farther")
def test_grouped(n): pass

@pytest.mark.parametrize("n", ["t", "zz", "\\udc80"])
def test_attributed(n): pass

test_attributed.shown = True

@pytest.mark.parametrize("n", range(4))
async def test_awaiting(n): pass

def test_alone(): pass

@pytest.fixture(params=[1, 2], scope="module")
def wide(request): return request.param

@pytest.mark.parametrize("n", range(3))
def test_wide(wide, n): pass
"""
_CONFTEST = """
def pytest_collection_modifyitems(items):
    items[1].extra_keyword_matches.add("extra")
    items[2].name = "renamed"
    items[3].location = ("test_suite.py", 76, "of its own")
"""
_DESCRIBE = """
import json, sys, pytest
from netra_loop.agent.collection import Describer

class Compare:
    def pytest_collection_finish(self, session):
        together = Describer(sys.argv[2])
        once = [together.describe(item) for item in session.items]  # first: pytest keeps what it was asked for
        each = [Describer(sys.argv[2]).describe(item) for item in session.items]
        with open(sys.argv[1], "w") as file:
            json.dump({"once": once, "each": each}, file)

options = ["--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir", sys.argv[2]]
pytest.main([*options, sys.argv[2]], plugins=[Compare()])
"""


def test_tests_of_one_function_are_told_as_each_by_itself(tmp_path: Path) -> None:
    suite, found = tmp_path / "suite", tmp_path / "found.json"
    suite.mkdir()
    (suite / "test_suite.py").write_text(_SUITE)
    (suite / "conftest.py").write_text(_CONFTEST)
    (suite / "pytest.ini").write_text("[pytest]\nmarkers =\n  slow\n  odd\n  xdist_group\nasyncio_mode = auto\n")
    command = [sys.executable, "-c", _DESCRIBE, str(found), str(suite)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.exists(), done.stdout + done.stderr
    told = json.loads(found.read_text())

    assert told["once"] == told["each"]
    assert [test["line"] for test in told["once"][:5]].index(77) == 3
    by_name = {test["id"].split("::", 1)[1]: test for test in told["once"]}
    odd = [number for number in range(5) if "odd" in by_name[f"test_marked[{number}]"]["markers"]]
    assert odd == [1, 3]
    assert [by_name[name]["group"] for name in ("test_marked[4]", "test_grouped[2]")] == ["five", "farther"]
    assert "slow" in by_name["TestTwo::test_inherited[2]"]["keywords"]
    assert "slow" not in by_name["TestOne::test_inherited[2]"]["keywords"]
    assert len({tuple(test["shares"]) for name, test in by_name.items() if name.startswith("test_wide")}) == 2
    assert "shown" in by_name["test_attributed[zz]"]["keywords"]
