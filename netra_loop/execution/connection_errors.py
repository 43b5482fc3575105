"""Why a connection could not be made or kept, in words a person can act on."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidProxy, InvalidStatus, InvalidURI

SHORT_BODY = 300


def peer(url: str) -> tuple[str, int]:
    """Host (as the URL names it) and port. Raises ValueError where the URL has no host or no sensible port."""
    parts = urlsplit(url)
    if parts.hostname is None:
        raise ValueError(f"{url!r} names no host, expected one like https://host/path")
    return parts.hostname, parts.port or {"https": 443, "wss": 443}.get(parts.scheme, 80)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, which no proxy can reach."""
    return host in {"localhost", "::1"} or host.startswith("127.") or host.endswith(".localhost")


def short(body: bytes | bytearray | str | None) -> str:
    """An answer's body on one line, at most 300 characters."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes | bytearray) else body or ""
    line = " ".join(text.split())
    return line if len(line) <= SHORT_BODY else line[: SHORT_BODY - 1] + "…"


def explain(error: BaseException, url: str) -> str:
    """One sentence for `error`, met on the way to `url`: refused, DNS, TLS, reset, an answer that refuses."""
    try:
        host, port = peer(url)
    except ValueError as wrong:
        return str(wrong)
    chain = list(_causes(error))
    for cause in chain:
        known = _network(cause, host, port) or _protocol(cause, host, port)
        if known is not None:
            return known
    told = next((str(cause) for cause in reversed(chain) if str(cause)), type(error).__name__)
    return f"the connection to {host}:{port} failed: {short(told)}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all it came from, outermost first."""
    todo, seen = [error], set[int]()
    while todo:
        cause = todo.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        todo += [below for below in (cause.__cause__, cause.__context__) if below is not None]
        if isinstance(cause, BaseExceptionGroup):
            todo += cause.exceptions


def _network(error: BaseException, host: str, port: int) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS to {host}:{port} failed: the certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS to {host}:{port} failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"host {host!r} is not known (DNS: {error.strerror})"
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return f"connection refused by {host}:{port}"
    if isinstance(error, ConnectionResetError | BrokenPipeError | httpx.ReadError | httpx.WriteError):
        return f"the connection was reset by {host}:{port}"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no connection to {host}:{port}: the network gave up waiting"
    if isinstance(error, OSError) and error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return f"{host}:{port} cannot be reached ({error.strerror})"
    return None


def _protocol(error: BaseException, host: str, port: int) -> str | None:
    if isinstance(error, InvalidStatus):
        answer = error.response
        told = short(answer.body)
        where = answer.headers.get("Location")
        return (
            f"the upgrade was refused with {answer.status_code} {answer.reason_phrase}".rstrip()
            + (f" to {where}, and redirects are not followed" if where else "")
            + (f": {told}" if told else "")
        )
    if isinstance(error, InvalidURI | InvalidProxy | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return f"the URL cannot be used: {error}"
    if isinstance(error, EOFError):
        return f"{host}:{port} closed the connection without a whole answer"
    if isinstance(error, InvalidMessage):
        return None if error.__cause__ else f"{host}:{port} did not answer with HTTP"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"{host}:{port} did not give a whole answer: {error}"
    if isinstance(error, InvalidHandshake):
        return f"the upgrade failed: {error}"
    return None
