"""What pytest collected, as plain values, and what the files held that it was collected from."""

from __future__ import annotations

import hashlib
import inspect
import os
from typing import Any

from . import sharing
from .wire import Message, clean


def describe(item: Any, folder: str) -> Message:
    """One test. `path` is relative to `folder` where it lies in there; `line` counts from 1.

    `source` is the file its function is written in, where that is another one of `folder`: an inherited test's.
    """
    file, line, _ = item.location
    path = _path_of(item) or str(file)
    return {
        "id": clean(item.nodeid),
        "path": _shown(path, folder),
        "line": None if line is None else line + 1,
        "markers": list(dict.fromkeys(mark.name for mark in item.iter_markers())),
        "keywords": sorted(clean(name) for name in _keywords(item)),
        "group": _group(item),
        "source": _written_in(item, path, folder),
        "shares": sharing.shares(item),
    }


def tell_apart(tests: list[Message]) -> int:
    """Gives every test an id of its own, ` #2` and so on put after what others bear before it: pytest runs them all, so
    each has an outcome. The number of those renamed.
    """
    taken = {test["id"] for test in tests}
    seen: set[str] = set()
    renamed = 0
    for test in tests:
        bare, number = test["id"], 2
        if bare in seen:
            while f"{bare} #{number}" in taken:
                number += 1
            test["id"] = f"{bare} #{number}"
            taken.add(test["id"])
            renamed += 1
        seen.add(test["id"])
    return renamed


class Sources:
    """Hashes of the files that tests come from. Each is read once, right when pytest begins to collect it: so they tell
    what is run, whatever becomes of the files later.
    """

    def __init__(self) -> None:
        self._hashes: dict[str, str | None] = {}  # by absolute path; None: it cannot be read
        self._conftests: dict[str, None] = {}

    def collecting(self, collector: Any) -> None:
        """To be told when pytest begins with a file; folders are passed over."""
        path = _path_of(collector)
        if path is not None and os.path.isfile(path):
            self._hash(path)

    def registered(self, plugin: Any) -> None:
        """To be told when a plugin was loaded; conftest files count."""
        path = getattr(plugin, "__file__", None)
        if isinstance(path, str) and os.path.basename(path) == "conftest.py":
            self._conftests[os.path.abspath(path)] = None
            self._hash(path)

    def of(self, items: list[Any], tests: list[Message], folder: str) -> Message:
        """`files`: the hash of each file that `tests`, described from `items`, come from, and of each conftest.py above
        one; `conftests`: those above each test's file. What cannot be read is left out.
        """
        files: dict[str, str | None] = {}
        above: dict[str, list[str]] = {}
        for number, test in enumerate(tests):
            item, path = items[number], test["path"]
            if path not in above:
                place = _path_of(item) or os.path.join(folder, path)
                files[path] = self._hash(place)
                higher = [name for name in self._conftests if _is_above(name, place)]
                above[path] = [_shown(name, folder) for name in higher]
                files.update((_shown(name, folder), self._hash(name)) for name in higher)
            if test["source"] is not None and test["source"] not in files:
                files[test["source"]] = self._hash(os.path.join(folder, test["source"]))
        return {"files": {path: found for path, found in files.items() if found is not None}, "conftests": above}

    def _hash(self, path: str) -> str | None:
        path = os.path.abspath(path)
        if path not in self._hashes:
            try:
                with open(path, "rb") as file:
                    self._hashes[path] = hashlib.sha256(file.read()).hexdigest()
            except OSError:
                self._hashes[path] = None
        return self._hashes[path]


def text_of(report: Any) -> str:
    """The words of pytest itself on a report that failed."""
    return clean(getattr(report, "longreprtext", None) or str(report.longrepr))


def skip_reason(report: Any) -> str:
    """Why a report was skipped."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        longrepr = longrepr[2]
    text = clean(str(longrepr))
    return text.removeprefix("Skipped: ")


def _path_of(node: Any) -> str | None:
    path = getattr(node, "path", None) or getattr(node, "fspath", None)
    return None if path is None else str(path)


def _shown(path: str, folder: str) -> str:
    relative = os.path.relpath(path, folder)
    return clean(path if relative.startswith("..") else relative.replace(os.sep, "/"))


def _is_above(conftest: str, path: str) -> bool:
    return os.path.abspath(path).startswith(os.path.join(os.path.dirname(conftest), ""))


def _written_in(item: Any, path: str, folder: str) -> str | None:
    try:
        function: Any = getattr(item, "obj", None)
        file = inspect.unwrap(getattr(function, "__func__", function)).__code__.co_filename
    except Exception:  # no function of Python's, or one that guards its attributes
        return None
    shown = _shown(file, folder)
    if os.path.isabs(shown) or "site-packages" in shown or not os.path.isfile(file) or file == path:
        return None
    return None if shown == _shown(path, folder) else shown


def _keywords(item: Any) -> set[str]:
    try:
        from _pytest.mark import KeywordMatcher

        return {str(name) for name in KeywordMatcher.from_item(item)._names}  # noqa: SLF001
    except Exception:  # another pytest keeps them elsewhere; its documented mapping holds nearly the same names
        return {str(name) for name in item.keywords}


def _group(item: Any) -> str | None:
    mark = item.get_closest_marker("xdist_group")
    if mark is None:
        return None
    return str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
