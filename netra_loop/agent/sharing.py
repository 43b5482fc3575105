"""What tests share: fixtures wider than one test, by a name for each instance, and the seconds that they take.

A name is `NODE::@FIXTURE`, with `[N]` after it for the N-th parameter; NODE is the class, module or package that the
instance lives as long as. Fixtures of a whole session are shared by all tests of a worker and get no name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import evidence
from .wire import Message, clean, monotonic

_NAMED = ("class", "module", "package")


def wide(item: Any) -> list[Any]:
    """The definitions of what `item` will use; all tests of its function in one place use the same. Empty where this
    pytest keeps them elsewhere.
    """
    try:
        found = [given[-1] for given in item._fixtureinfo.name2fixturedefs.values() if given]  # noqa: SLF001 - no other way
        return [one for one in found if one.scope in _NAMED and not _idle(one, item)]
    except Exception:
        return []


def shares(item: Any, definitions: list[Any]) -> list[str]:
    """The names of the instances of its `wide` definitions that `item` will use."""
    if not definitions:
        return []
    try:
        return sorted({_name(definition, item) for definition in definitions})
    except Exception:
        return []


class Timer:
    """A plugin that takes the time of every fixture wider than a test; `take` tells what was taken since `begin`."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._total = 0.0
        self._inner = 0.0  # of fixtures set up within the one that is being set up
        self._setups: dict[int, tuple[str | None, float]] = {}  # alive instances: their names, and what they took
        self._ending: dict[int, float] = {}

    def begin(self) -> None:
        """A test begins."""
        self._spent, self._total = {}, 0.0

    def take(self) -> Message:
        """`fixtures`: seconds of each instance that was set up or torn down, its set-up counted with its teardown;
        `total`: the seconds of this test that went to any fixture wider than it."""
        return {"fixtures": self._spent, "total": self._total}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """Takes the time of a set-up, without what others set up within it."""
        if fixturedef.scope == "function":
            yield
            return
        outer, self._inner = self._inner, 0.0
        began = monotonic()
        yield
        whole = monotonic() - began
        took, self._inner = max(0.0, whole - self._inner), outer + whole
        self._total += took
        try:
            name = None
            if fixturedef.scope in _NAMED:
                name = _name(fixturedef, request._pyfuncitem)  # noqa: SLF001 - `node` is not the test here
                self._spent[name] = took
            self._setups[id(fixturedef)] = (name, took)
            fixturedef.addfinalizer(lambda: self._ends(fixturedef))  # added last, so it is called first
        except Exception as error:  # a pytest of another make: this instance's teardown is not timed
            evidence.blind(error)

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        """Takes the time of a teardown."""
        began = self._ending.pop(id(fixturedef), None)
        known = self._setups.pop(id(fixturedef), None)
        if began is None or known is None:
            return
        took = max(0.0, monotonic() - began)
        self._total += took
        name, setup = known
        if name is not None:
            self._spent[name] = setup + took

    def _ends(self, fixturedef: Any) -> None:
        self._ending[id(fixturedef)] = monotonic()


def _name(definition: Any, item: Any) -> str:
    index = getattr(getattr(item, "callspec", None), "indices", {}).get(definition.argname)
    param = "" if index is None else f"[{index}]"
    return clean(f"{_node(definition, item)}::@{definition.argname}{param}")


def _node(definition: Any, item: Any) -> str:
    if definition.scope == "package":
        return str(definition.baseid)
    wanted = (pytest.Class, pytest.Module) if definition.scope == "class" else (pytest.Module,)
    for kind in wanted:
        node = item.getparent(kind)
        if node is not None:
            return str(node.nodeid)
    return str(item.nodeid.split("::")[0])


def _idle(definition: Any, item: Any) -> bool:
    # pytest makes one for each TestCase; most of them inherit what it calls, which does nothing
    if not definition.argname.startswith("_unittest_setUpClass_fixture_"):
        return False
    base = next((kind for kind in item.cls.__mro__ if kind.__module__ == "unittest.case"), None)
    names = ("setUpClass", "tearDownClass")
    return base is not None and all(
        getattr(getattr(item.cls, name, None), "__func__", 0) is getattr(getattr(base, name, None), "__func__", 1)
        for name in names
    )
