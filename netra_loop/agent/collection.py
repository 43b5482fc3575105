"""What pytest collected, as plain values."""

from __future__ import annotations

import os
from typing import Any

from .wire import Message, clean


def describe(item: Any, folder: str) -> Message:
    """One test. `path` is relative to `folder` where it lies in there; `line` counts from 1."""
    file, line, _ = item.location
    path = str(getattr(item, "path", None) or getattr(item, "fspath", file))
    relative = os.path.relpath(path, folder)
    return {
        "id": clean(item.nodeid),
        "path": path if relative.startswith("..") else relative.replace(os.sep, "/"),
        "line": None if line is None else line + 1,
        "markers": list(dict.fromkeys(mark.name for mark in item.iter_markers())),
        "keywords": sorted(clean(name) for name in _keywords(item)),
        "group": _group(item),
    }


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
