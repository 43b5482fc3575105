"""Lets observers wait for a library's import, so that what a suite does not use costs it nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

_waiting: dict[str, Callable[[Any], None]] = {}


def when_imported(name: str, install: Callable[[Any], None]) -> None:
    """Calls `install(module)` once module `name` has been imported, now if it has been. Its errors are swallowed."""
    module = sys.modules.get(name)
    if module is not None:
        _call(install, module)
        return
    if not _waiting:
        sys.meta_path.insert(0, _Finder())
    _waiting[name] = install


def _call(install: Callable[[Any], None], module: Any) -> None:
    with contextlib.suppress(Exception):  # a library of a kind we do not know goes unobserved
        install(module)


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
                self._listen(spec.loader, install)
                return spec
        _waiting[name] = install  # not there now; it may be later
        return None

    def _listen(self, loader: Any, install: Callable[[Any], None]) -> None:
        try:
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _call(install, module)

            loader.exec_module = exec_module
        except AttributeError:
            pass
