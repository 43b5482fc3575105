"""What is sealed is sealed whatever is done to it."""

import pytest

from netra_loop.core.seal import Seal, allowed, default_seal

SEAL = default_seal(["loops/golden/tests", "tests/test_one.py::test_x"], "loops/golden.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "loops/golden/tests/test_a.py",
        "loops/golden/tests/deep/data.json",
        "loops/golden/tests/conftest.py",
        "loops/golden/conftest.py",
        "loops/conftest.py",
        "conftest.py",
        "tests/test_one.py",
        "tests/conftest.py",
        "loops/golden.yaml",
    ],
)
def test_the_tests_their_conftests_and_the_loop(path):
    assert SEAL.broken_by(["service/app.py", path]) == [path]


@pytest.mark.parametrize(
    "path",
    ["loops/golden/service/app.py", "tests/test_two.py", "service/conftest.py", "loops/golden.yaml.txt", "loops"],
)
def test_nothing_else(path):
    assert not SEAL.holds(path)


@pytest.mark.parametrize(
    ("glob", "path", "held"),
    [
        ("tests/**", "tests/a.py", True),
        ("tests/**", "tests/deep/er/a.py", True),
        ("tests/**", "tester/a.py", False),
        ("**/test_*.py", "test_a.py", True),
        ("**/test_*.py", "x/y/test_a.py", True),
        ("**/test_*.py", "x/y/a_test.py", False),
        ("*.yaml", "a.yaml", True),
        ("*.yaml", "x/a.yaml", True),
        ("src", "src/a.py", True),
        ("a.b", "axb", False),
    ],
)
def test_globs(glob, path, held):
    assert Seal(globs=(glob,)).holds(path) is held


def test_the_whole_folder_may_be_sealed_and_nothing_may_be():
    assert default_seal(["."], None).holds("any/file.py")
    assert not Seal().holds("anything")


def test_what_may_be_changed():
    assert allowed("service/a.py", ["service"])
    assert allowed("service", ["service"])
    assert not allowed("services/a.py", ["service"])
    assert allowed("anything", [])
    assert allowed("anything", ["."])
