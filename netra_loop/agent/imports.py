"""Lets observers wait for a library's import, so that what a suite does not use costs it nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import evidence

_waiting: dict[str, Callable[[Any], None]] = {}


def when_imported(name: str, install: Callable[[Any], None]) -> None:
    """Calls `install(module)` each time module `name` has been imported anew, and now if it has been.

    `install` may be called again with a module that it knows. Where it fails (a library of a make we do not know) each
    test's evidence says so from then on.
    """
    if not _waiting:
        sys.meta_path.insert(0, _Finder())
    _waiting[name] = install
    module = sys.modules.get(name)
    if module is not None:
        _call(name, module)


def _call(name: str, module: Any) -> None:
    try:
        _waiting[name](module)
    except Exception as error:
        evidence.blind_to(name, error)


class _Finder:
    """Finds nothing itself: has the others find, and listens for the end of the import. Who only looks whether there is
    such a module changes nothing.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    _listen(name, spec.loader)
                return spec
        return None


def _listen(name: str, loader: Any) -> None:
    execute = loader.exec_module
    if isinstance(loader, type) or getattr(execute, "listens", False):
        return  # of all built-in modules, of which we know none; or we listen already, where modules share a loader

    def exec_module(module: Any) -> None:
        execute(module)
        own = getattr(module, "__name__", name)
        if own in _waiting:
            _call(own, module)

    exec_module.listens = True  # type: ignore[attr-defined]
    try:
        loader.exec_module = exec_module
    except AttributeError as error:
        evidence.blind_to(name, error)
