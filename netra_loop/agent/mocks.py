"""Sees network clients being replaced, where patches are made: `unittest.mock` and pytest's `monkeypatch`.

respx, responses, aioresponses, pytest-httpx, pytest-mock and vcrpy patch through one of these two. What stands in for
the network without a patch (httpx's transports, adapters of requests) is seen where it answers: `exchanges`,
`exchanges_httpx`. A mock made after the likeness of a client (`spec=httpx.Client`) is seen as it is made.

Not seen: a function of the project's own that wraps a client, replaced under the project's name; plain assignment
(`httpx.get = fake`); `patch.dict`, but for `sys.modules` under monkeypatch; mocks that take no likeness, handed
to the code under test as an argument; what a session fixture's mock stands in for, in the tests after the first.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from . import evidence
from .wrapping import quietly, wrap

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
_SOCKET = {"socket", "create_connection", "getaddrinfo", "SSLSocket"}
_SOCKET_METHODS = {"connect", "connect_ex", "send", "sendall", "sendto", "recv", "recv_into", "recvfrom", "makefile"}
_ASYNCIO = {"open_connection", "create_connection"}
_TALKS = ("request", "send", "urlopen", "connect", "handle_request", "handle_async_request", "recv")  # what clients do
_HELPERS = {"disable_warnings", "quote", "urlencode", "encode_multipart_formdata"}  # of libraries, and no network


def network_client(target: Any, attribute: str) -> str | None:
    """The name of what is replaced when it belongs to a network client, else None."""
    original = _value(target, attribute)
    if _is_socket(target, original, attribute):
        return "socket." + attribute
    if attribute in _ASYNCIO and _module(target).partition(".")[0] in ("asyncio", "uvloop"):
        return "asyncio." + attribute
    if not _replaceable(original, attribute):
        return None
    if any(_of_library(_module(thing)) for thing in (original, target)) or _inherited(target, attribute):
        where = getattr(target, "__name__", type(target).__name__)
        return f"{where}.{attribute}"
    return None


def _value(target: Any, attribute: str) -> Any:
    if isinstance(getattr(type(target), attribute, None), property):
        return None  # asking for it would run the test's code
    return getattr(target, attribute, None)


def _module(thing: Any) -> str:
    name = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None)
    return name if isinstance(name, str) else ""


def _of_library(name: str) -> bool:
    return any(name == library or name.startswith(library + ".") for library in _LIBRARIES)


def _replaceable(original: Any, attribute: str) -> bool:
    if attribute in _HELPERS or (isinstance(original, type) and issubclass(original, BaseException)):
        return False
    return callable(original) or isinstance(original, types.ModuleType)


def _is_socket(target: Any, original: Any, attribute: str) -> bool:
    if original is sys.modules.get("socket"):
        return True
    if attribute in _SOCKET and any(_module(thing) in ("socket", "_socket", "ssl") for thing in (original, target)):
        return True
    kind = target if isinstance(target, type) else type(target)
    return attribute in _SOCKET_METHODS and any(base.__module__ in ("socket", "_socket") for base in kind.__mro__)


def _inherited(target: Any, attribute: str) -> bool:
    kind = target if isinstance(target, type) else type(target)
    return any(_of_library(base.__module__) and attribute in base.__dict__ for base in kind.__mro__)


def install_unittest(module: Any) -> None:
    """Wraps entering and leaving of patches, and mocks that are made after the likeness of something."""

    def entering(original: Any) -> Any:
        def enter(self: Any) -> Any:
            name = quietly(_patched, self)
            result = original(self)
            if name is not None:
                self._netra_loop_name = name
                evidence.mock_entered(f"{name} (unittest.mock)")
            return result

        return enter

    def leaving(original: Any) -> Any:
        def leave(self: Any, *args: Any) -> Any:
            name = self.__dict__.pop("_netra_loop_name", None)
            if name is not None:
                evidence.mock_left(f"{name} (unittest.mock)")
            return original(self, *args)

        return leave

    def likening(original: Any) -> Any:
        def _mock_add_spec(self: Any, spec: Any, *args: Any, **kwargs: Any) -> Any:
            if spec is not None:
                quietly(_likened, spec)
            return original(self, spec, *args, **kwargs)

        return _mock_add_spec

    wrap(module._patch, "__enter__", entering)  # noqa: SLF001
    wrap(module._patch, "__exit__", leaving)  # noqa: SLF001
    wrap(module.NonCallableMock, "_mock_add_spec", likening)


def _patched(patch: Any) -> str | None:
    try:
        target = patch.getter()
    except (ImportError, AttributeError):
        return None  # there is nothing to be patched: entering raises its own error
    return network_client(target, patch.attribute)


def _likened(spec: Any) -> None:
    kind = spec if isinstance(spec, type) else type(spec)
    if _of_library(kind.__module__) and any(callable(getattr(kind, name, None)) for name in _TALKS):
        evidence.mock_seen(f"{kind.__module__.partition('.')[0]}.{kind.__name__} (spec of a mock)")


def install_monkeypatch(module: Any) -> None:
    """Wraps `setattr`, `setitem` and `undo`."""
    entered: dict[int, list[str]] = {}

    def note(patch: Any, name: str | None) -> None:
        if name is not None:
            label = f"{name} (monkeypatch)"
            evidence.mock_entered(label)
            entered.setdefault(id(patch), []).append(label)

    def setting(original: Any) -> Any:
        def setattr(self: Any, target: Any, name: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A001
            found = quietly(_set, module, target, name)
            result = original(self, target, name, *args, **kwargs)
            note(self, found)
            return result

        return setattr

    def setting_item(original: Any) -> Any:
        def setitem(self: Any, dic: Any, name: Any, value: Any) -> Any:
            result = original(self, dic, name, value)
            if dic is sys.modules and isinstance(name, str) and (_of_library(name) or name == "socket"):
                note(self, f"sys.modules[{name}]")
            return result

        return setitem

    def undoing(original: Any) -> Any:
        def undo(self: Any) -> Any:
            for label in entered.pop(id(self), ()):
                evidence.mock_left(label)
            return original(self)

        return undo

    wrap(module.MonkeyPatch, "setattr", setting)
    wrap(module.MonkeyPatch, "setitem", setting_item)
    wrap(module.MonkeyPatch, "undo", undoing)


def _set(module: Any, target: Any, name: Any) -> str | None:
    try:
        if not isinstance(target, str):
            return network_client(target, name)
        path, _, attribute = target.rpartition(".")
        return network_client(module.resolve(path), attribute)
    except (ImportError, AttributeError, TypeError):
        return None  # what cannot be resolved patches nothing: the call itself raises its own error
