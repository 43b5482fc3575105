"""Sees network clients being replaced, where patches are made: `unittest.mock` and pytest's `monkeypatch`.

respx, responses, aioresponses and pytest-httpx patch through one of these two.
"""

from __future__ import annotations

import types
from typing import Any

from . import evidence

_LIBRARIES = (
    "httpx",
    "httpcore",
    "requests",
    "urllib3",
    "aiohttp",
    "websockets",
    "websocket",
    "http.client",
    "urllib.request",
)
_SOCKET = {"socket", "create_connection", "getaddrinfo"}


def network_client(target: Any, attribute: str) -> str | None:
    """The name of what is replaced when it belongs to a network client, else None."""
    original = getattr(target, attribute, None)
    for thing in (original, target):
        name = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None)
        if not isinstance(name, str):
            continue
        if name in ("socket", "_socket") and attribute in _SOCKET:
            return "socket." + attribute
        known = any(name == library or name.startswith(library + ".") for library in _LIBRARIES)
        if known and (callable(original) or isinstance(original, types.ModuleType)):
            where = getattr(target, "__name__", type(target).__name__)
            return f"{where}.{attribute}"
    return None


def install_unittest(module: Any) -> None:
    """Wraps entering and leaving of patches."""
    kind = module._patch  # noqa: SLF001
    enter, leave = kind.__enter__, kind.__exit__

    def observed_enter(self: Any) -> Any:
        try:
            name = network_client(self.getter(), self.attribute)
        except Exception:
            name = None
        result = enter(self)
        if name is not None:
            evidence.mock_entered(f"{name} (unittest.mock)")
            self._netra_loop_name = name
        return result

    def observed_leave(self: Any, *args: Any) -> Any:
        name = getattr(self, "_netra_loop_name", None)
        if name is not None:
            evidence.mock_left(f"{name} (unittest.mock)")
            self._netra_loop_name = None
        return leave(self, *args)

    kind.__enter__, kind.__exit__ = observed_enter, observed_leave


def install_monkeypatch(module: Any) -> None:
    """Wraps `setattr` and `undo`."""
    kind = module.MonkeyPatch
    replace, undo = kind.setattr, kind.undo
    entered: dict[int, list[str]] = {}

    def observed_setattr(self: Any, target: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
        found = None
        try:
            if isinstance(target, str):
                path, _, attribute = target.rpartition(".")
                found = network_client(module.resolve(path), attribute)
            else:
                found = network_client(target, name)
        except Exception:
            pass  # what cannot be resolved patches nothing: the call below raises its own error
        result = replace(self, target, name, *args, **kwargs)
        if found is not None:
            label = f"{found} (monkeypatch)"
            evidence.mock_entered(label)
            entered.setdefault(id(self), []).append(label)
        return result

    def observed_undo(self: Any) -> Any:
        for label in entered.pop(id(self), ()):
            evidence.mock_left(label)
        return undo(self)

    kind.setattr, kind.undo = observed_setattr, observed_undo
