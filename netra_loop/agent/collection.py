"""What pytest collected, as plain values, and what the files held that it was collected from."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from typing import Any

import pytest

from . import sharing
from .wire import Message, clean

_TOLD = (
    *("location", "reportinfo", "obj", "function", "cls", "getparent", "listchain", "iter_parents"),
    *("iter_markers", "iter_markers_with_node", "get_closest_marker", "listextrakeywords"),
)


class Describer:
    """Tells what tests of one collection are. What those of one function have in common is looked up once for all its
    parameters: each time pytest walks all that lies above. Whoever runs a test looks for itself, as pytest does.
    """

    def __init__(self, folder: str) -> None:
        """`folder` is the one that paths are told relative to."""
        self._folder = folder
        self._kin: dict[Any, _Kin] = {}

    def describe(self, item: Any) -> Message:
        """One test. `path` is relative to the folder where it lies in there; `line` counts from 1.

        `source` is the file its function is written in, where that is another one of the folder: an inherited test's.
        """
        kin = self._kin_of(item)
        return {
            "id": clean(item.nodeid),
            "path": kin.path,
            "line": kin.line,
            "markers": kin.markers,
            "keywords": kin.keywords(item),
            "group": kin.group,
            "source": kin.source,
            "shares": sharing.shares(item, kin.wide),
        }

    def _kin_of(self, item: Any) -> _Kin:
        kind: Any = type(item)
        if not _tells_as_pytest(kind):
            return _Kin(item, self._folder)
        function = getattr(item.obj, "__func__", item.obj)
        held = (kind, item.parent, function, item.path, getattr(item, "_fixtureinfo", None), *item.own_markers)
        place = str(vars(item).get("location", "")[:2])  # of its own, where a conftest gave it one
        key = (*map(id, held), place, *item.extra_keyword_matches)  # ids of those that are alive: the items hold them
        kin = self._kin.get(key)
        if kin is None:
            kin = self._kin[key] = _Kin(item, self._folder)
        return kin


class _Kin:
    """What tests of one function, in one place and with the same marks, have in common: all but ids and parameters."""

    def __init__(self, item: Any, folder: str) -> None:
        file, line = item.location[:2]
        path = _path_of(item) or str(file)
        self.path = _shown(path, folder)
        self.line = None if line is None else line + 1
        marks = list(item.iter_markers())  # the closest first
        self.markers = list(dict.fromkeys(mark.name for mark in marks))
        self.group = next((_group(mark) for mark in marks if mark.name == "xdist_group"), None)
        self.source = _written_in(item, path, folder)
        self.wide = sharing.wide(item)
        self._first: tuple[str, set[str]] | None = None
        self._common: set[str] | None = None  # known from the second test on: what two have beside their names
        self._sorted: list[str] = []

    def keywords(self, item: Any) -> list[str]:
        """Those of one of them, in order."""
        if self._common is not None:
            if item.name in self._common:
                return self._sorted
            found = [*self._sorted, clean(item.name)]
            found.sort()
            return found
        names = _matched(item)
        if names is None:
            return sorted(map(clean, {str(name) for name in item.keywords}))
        if self._first is None:
            self._first = item.name, names
        elif self._first[0] != item.name:
            self._common = self._first[1] & names
            self._sorted = sorted(map(clean, self._common))
        return sorted(map(clean, names))


class Names:
    """Gives every test an id of its own, ` #2` and so on put after what others bear before it: pytest runs them all, so
    each has an outcome. `items` are all of them; `renamed` counts those whose id was changed.
    """

    def __init__(self, items: list[Any]) -> None:
        self.renamed = 0
        self._items = items
        self._seen: set[str] = set()

    @functools.cached_property
    def _taken(self) -> set[str]:
        return {clean(item.nodeid) for item in self._items}

    def tell_apart(self, tests: list[Message]) -> None:
        """The next ones, in their order."""
        for test in tests:
            bare, number = test["id"], 2
            if bare in self._seen:
                while f"{bare} #{number}" in self._taken:
                    number += 1
                test["id"] = f"{bare} #{number}"
                self._taken.add(test["id"])
                self.renamed += 1
            self._seen.add(test["id"])


class Sources:
    """Hashes of the files that tests come from. Each is read once, right when pytest begins to collect it: so they tell
    what is run, whatever becomes of the files later.
    """

    def __init__(self) -> None:
        self._hashes: dict[str, str | None] = {}  # by absolute path; None: it cannot be read
        self._collected: dict[str, None] = {}
        self._conftests: dict[str, None] = {}
        self._plugins: dict[str, None] = {}
        self._installed: dict[str, None] = {}
        self._settings: tuple[str, str] | None = None

    def collecting(self, collector: Any) -> None:
        """To be told when pytest begins with a file; folders are passed over. It counts whether or not it gives tests:
        it may be mended, or stop to skip itself.
        """
        path = _path_of(collector)
        if path is not None and os.path.isfile(path):
            self._collected[os.path.abspath(path)] = None
            self._hash(path)

    def registered(self, plugin: Any) -> None:
        """To be told when a plugin was loaded; conftest files count, and what lies below the folder that pytest runs in
        and was not installed there. Of what was installed, and is not pytest's own, the name does: another version of
        it is no other test.
        """
        path = getattr(plugin, "__file__", None)
        if not isinstance(path, str):
            return
        path = os.path.abspath(path)
        if os.path.basename(path) == "conftest.py":
            self._conftests[path] = None
        elif _is_of_the_project(_shown(path, os.getcwd())) and os.path.isfile(path):
            self._plugins[path] = None
        else:
            name = str(getattr(plugin, "__name__", path))
            if not name.startswith("_pytest."):
                self._installed[clean(f"pytest plugin {name}")] = None
            return
        self._hash(path)

    def configured(self, config: Any) -> None:
        """To be told once pytest has read its settings. They are looked at, not the file: that may hold more, such as a
        project's dependencies.
        """
        path = getattr(config, "inipath", None)
        if path is not None:
            given = getattr(config, "_inicfg", None)  # the public name warns since pytest 9
            given = config.inicfg if given is None else given
            settings = {str(name): str(getattr(value, "value", value)) for name, value in given.items()}
            text = "\n".join(f"{name}={value}" for name, value in sorted(settings.items()))
            self._settings = str(path), hashlib.sha256(clean(text).encode("utf-8")).hexdigest()

    def of(self, items: list[Any], tests: list[Message], folder: str) -> Message:
        """`files`: the hash of each file that pytest began to collect, or that `tests`, described from `items`, come
        from, of each conftest.py above one, of the project's plugins, and of pytest's settings under their file's name.
        `conftests`: the conftest.py files above each; under "" the plugins and settings, which every test comes from;
        under "*" the names of the plugins that were installed, which are among `files`, too. What cannot be read is
        left out.
        """
        places = {_shown(path, folder): path for path in self._collected}
        for number, test in enumerate(tests):
            if test["path"] not in places:
                places[test["path"]] = _path_of(items[number]) or os.path.join(folder, test["path"])
        higher = {path: [name for name in self._conftests if _is_above(name, place)] for path, place in places.items()}
        inherited = {test["source"]: os.path.join(folder, test["source"]) for test in tests if test["source"]}
        beside = [*self._plugins, *(name for names in higher.values() for name in names)]
        everything = {**inherited, **{_shown(name, folder): name for name in beside}, **places}
        files = {shown: self._hash(path) for shown, path in everything.items()}
        common = [_shown(name, folder) for name in self._plugins]
        if self._settings is not None:
            path, found = self._settings
            common.append(_shown(path, folder))
            files[common[-1]] = found
        above = {path: [_shown(name, folder) for name in names] for path, names in higher.items()}
        files.update((name, "installed") for name in self._installed)
        return {
            "files": {path: found for path, found in files.items() if found is not None},
            "conftests": {**above, "": common, "*": list(self._installed)},
        }

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


@functools.lru_cache(maxsize=256)  # tests of one file come one after the other
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
    if file == path:
        return None
    shown = _shown(file, folder)
    if not _is_of_the_project(shown) or not os.path.isfile(file):
        return None
    return None if shown == _shown(path, folder) else shown


def _is_of_the_project(shown: str) -> bool:
    return not os.path.isabs(shown) and "site-packages" not in shown


@functools.lru_cache(maxsize=64)
def _tells_as_pytest(kind: Any) -> bool:
    """Whether items of this class, such as those of pytest-asyncio, say of themselves what pytest's functions say."""
    if not issubclass(kind, pytest.Function):
        return False
    return all(getattr(kind, name, None) is getattr(pytest.Function, name, None) for name in _TOLD)


def _matched(item: Any) -> set[str] | None:
    """The names that `-k` looks at: the test's own, and what its function, its marks and all above it give. None where
    another pytest keeps them elsewhere; its documented mapping holds nearly the same names.
    """
    try:
        from _pytest.mark import KeywordMatcher

        return {str(name) for name in KeywordMatcher.from_item(item)._names}  # noqa: SLF001
    except Exception:
        return None


def _group(mark: Any) -> str:
    return str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
