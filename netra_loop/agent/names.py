"""By which name the host at an address goes: the one that was asked for, where several share the address.

Known, in this order: what the client that connects was told to reach, where it says so; what the same thread or task
looked up last; what was looked up at all, where that is one name. Where it is not, the address stands for itself:
services of one region answer at the same addresses, and a guess would call the one the other.
"""

from __future__ import annotations

import contextvars
import socket
from typing import Any

from . import evidence
from .wrapping import quietly, wrap

_MOST = 256  # addresses that one context remembers
_ALL = 8192  # addresses that the process remembers

_names: dict[str, dict[str, None]] = {}  # all the names that were looked up and gave this address
_looked_up: contextvars.ContextVar[dict[str, tuple[str, int]]] = contextvars.ContextVar("netra_loop_looked_up")
_meant: contextvars.ContextVar[tuple[str, int, bool] | None] = contextvars.ContextVar("netra_loop_meant", default=None)
_listening: set[int] = set()  # ports on which this process offers something itself


def install() -> None:
    """Wraps the lookups of `socket`, once for the process."""
    wrap(socket, "getaddrinfo", _resolving)
    for name in ("gethostbyname", "gethostbyname_ex"):
        wrap(socket, name, _resolving_one)
    wrap(socket.socket, "listen", _listening_on)


def install_asyncio(module: Any) -> None:
    """Has the name that asyncio looks up in another thread known where it then connects."""
    wrap(module.BaseEventLoop, "getaddrinfo", resolving_on_loop)


def install_aiohttp(module: Any) -> None:
    """Observes aiohttp, which keeps what it looked up, or looks it up past Python: it says itself where it goes."""

    def connecting(original: Any) -> Any:
        async def _create_direct_connection(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            token = quietly(_mean_request, request)
            try:
                return await original(self, request, *args, **kwargs)
            finally:
                if token is not None:
                    quietly(_meant.reset, token)

        return _create_direct_connection

    wrap(module.TCPConnector, "_create_direct_connection", connecting)


def install_httpcore(module: Any) -> None:
    """Its asynchronous backends, which may look up in another thread."""
    for kind in [kind for name, kind in vars(module).items() if name.endswith("Backend") and isinstance(kind, type)]:
        if "connect_tcp" in vars(kind) and kind.__module__ == module.__name__:
            wrap(kind, "connect_tcp", _connecting_tcp)


def resolving_on_loop(original: Any) -> Any:
    """Observes an event loop's `getaddrinfo`."""

    async def getaddrinfo(self: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        found = await original(self, host, *args, **kwargs)
        quietly(_remember_all, host, found)
        return found

    return getaddrinfo


def named(address: Any) -> tuple[str, int] | None:
    """The host and port of an address as `connect` takes it; None for one that is no host's."""
    if not (isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str)):
        return None
    host, port = address[0], int(address[1])
    known, meant = _names.get(host, {}), _meant.get()
    if meant is not None and meant[1] == port and (meant[0] in known or (meant[2] and not _own(host, port))):
        return meant[0], port
    here = _looked_up.get({}).get(host)
    if here is not None and (len(known) == 1 or here[1] == evidence.ordinal()):
        return here[0], port
    return (next(iter(known)) if len(known) == 1 else host), port


def of(host: str) -> dict[str, None]:
    """All names that were looked up and gave the address `host`."""
    return _names.get(host, {})


def listens(sock: Any) -> None:
    """The process offers something at `sock` itself: nobody else does there, whatever name it is given."""
    address = sock.getsockname()
    if isinstance(address, tuple):
        _listening.add(int(address[1]))


def _own(host: str, port: int) -> bool:
    return port in _listening and (host.startswith("127.") or host in ("::1", "0.0.0.0", "::"))  # noqa: S104 - compared


def _mean_request(request: Any) -> Any:
    url = request.url
    return _meant.set((str(url.raw_host or ""), int(url.port or 0), True))


def _connecting_tcp(original: Any) -> Any:
    async def connect_tcp(self: Any, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        token = quietly(_mean, host, port)
        try:
            return await original(self, host, port, *args, **kwargs)
        finally:
            if token is not None:
                quietly(_meant.reset, token)

    return connect_tcp


def _mean(host: Any, port: Any) -> Any:
    return _meant.set((_text(host), int(port), False))


def _listening_on(original: Any) -> Any:
    def listen(self: Any, *args: Any) -> Any:
        __tracebackhide__ = True
        result = original(self, *args)
        quietly(listens, self)
        return result

    return listen


def _resolving(original: Any) -> Any:
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        found = original(host, *args, **kwargs)
        quietly(_remember_all, host, found)
        return found

    return getaddrinfo


def _resolving_one(original: Any) -> Any:
    def gethostbyname(host: Any) -> Any:
        __tracebackhide__ = True
        found = original(host)
        quietly(_remember, host, [found] if isinstance(found, str) else found[2])
        return found

    return gethostbyname


def _remember_all(host: Any, found: Any) -> None:
    _remember(host, [str(address[0]) for *_, address in found])


def _remember(host: Any, addresses: list[str]) -> None:
    name = _text(host)
    addresses = [address for address in addresses if address != name]
    if not name or not addresses:
        return
    if len(_names) > _ALL:
        _names.clear()
    for address in addresses:
        _names.setdefault(address, {})[name] = None
    known = _looked_up.get({})
    turn = evidence.ordinal()
    _looked_up.set({**(known if len(known) < _MOST else {}), **dict.fromkeys(addresses, (name, turn))})


def _text(host: Any) -> str:
    return host.decode() if isinstance(host, bytes) else str(host or "")
