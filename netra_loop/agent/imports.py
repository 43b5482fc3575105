"""Lets observers wait for a library's import, so that what a suite does not use costs it nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import evidence

_waiting: dict[str, Callable[[Any], None]] = {}


def when_imported(name: str, install: Callable[[Any], None]) -> None:
    """Calls `install(module)` once module `name` has been imported, now if it has been.

    Where that fails (a library of a make we do not know) each test's evidence says so from then on.
    """
    module = sys.modules.get(name)
    if module is not None:
        _call(name, install, module)
        return
    if not _waiting:
        sys.meta_path.insert(0, _Finder())
    _waiting[name] = install


def _call(name: str, install: Callable[[Any], None], module: Any) -> None:
    try:
        install(module)
    except Exception as error:
        evidence.blind_to(name, error)


class _Finder:
    """Finds nothing itself: has the others find, and listens for the end of the import."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        install = _waiting.pop(name, None)
        if install is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._listen(name, spec.loader, install)
                return spec
        _waiting[name] = install  # not there now; it may be later
        return None

    def _listen(self, name: str, loader: Any, install: Callable[[Any], None]) -> None:
        try:
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _call(name, install, module)

            loader.exec_module = exec_module
        except AttributeError as error:
            evidence.blind_to(name, error)
