"""Whether a pass was seen to happen: real, suspect or fake, with the reasons (contract, "Outcome of a test").

Reasons of a fake pass begin with the contract's own words (`mocked`, `instant`, `no-contact`, `wrong-revision`);
sentences with the detail follow.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from netra_loop.core.records import Authenticity, Contact, Evidence, Frame, LogEntry, Outcome, Result

Host = tuple[str, int | None]

INSTANT_S = 0.001  # no exchange with another process fits into less
SERVER_CLOSES = frozenset({1006, 1011})
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_ERROR_EVENTS = frozenset({"error", "error_message", "error_event", "agent_failed", "tool_failed"})


def assess(
    outcome: Outcome,
    evidence: Evidence,
    duration_s: float,
    environment_hosts: Iterable[Host],
    *,
    mode: str = "required",
) -> tuple[Authenticity, tuple[str, ...]]:
    """How far a pass can be believed. `mode` is the loop's `goal.authenticity`; `off`, like any outcome but `passed`,
    gives `n/a`.

    `environment_hosts` are (host, port) pairs, port None for any port. All names of the loopback are one host, which
    counts at the named port alone: a stub that a test started for itself is not the environment.
    """
    if mode == "off" or outcome is not Outcome.PASSED:
        return Authenticity.NOT_APPLICABLE, ()
    hosts = frozenset((canonical_host(host), port) for host, port in environment_hosts)
    if not any(_is_exchange(contact, hosts) for contact in evidence.contacts):
        return Authenticity.FAKE, _fake_reasons(evidence, duration_s, hosts)
    signs = tuple(_failure_signs(evidence, hosts))
    if signs:
        return Authenticity.SUSPECT, signs
    return Authenticity.REAL, ()


def reassess_revision(result: Result, entries: Iterable[LogEntry], expected: Collection[str]) -> Result:
    """`result`, marked fake with `wrong-revision` where the request log shows that another revision answered it.

    `entries` may be all entries of the iteration: those of the log `requests` with the result's trace are looked at.
    `expected` are the short names of the revisions under test; where it is empty nothing can be said.
    """
    if result.authenticity not in {Authenticity.REAL, Authenticity.SUSPECT} or not expected:
        return result
    foreign = sorted(
        {
            entry.revision
            for entry in entries
            if entry.log == "requests" and entry.trace_id == result.trace_id and entry.revision not in expected
        },
    )
    if not foreign:
        return result
    detail = f"answered by {', '.join(foreign)}, expected {', '.join(sorted(expected))}"
    return replace(
        result,
        authenticity=Authenticity.FAKE,
        reasons=("wrong-revision", detail, *result.reasons),
        flaky=result.flaky,
    )


def canonical_host(host: str) -> str:
    """`host` in one spelling: lower case, no brackets, no trailing dot; every name of the loopback is `localhost`."""
    name = host.strip().lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "localhost"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return "localhost" if address.is_loopback or address.is_unspecified else str(address)


def is_error_event(frame: Frame) -> bool:
    """Whether the server said over the socket that something went wrong."""
    name = (frame.event or "").lower()
    return frame.direction == "received" and (name in _ERROR_EVENTS or name.endswith("_error"))


def _is_exchange(contact: Contact, hosts: frozenset[Host]) -> bool:
    return contact.sent > 0 and contact.received > 0 and _belongs(contact.host, contact.port, hosts)


def _belongs(host: str, port: int | None, hosts: frozenset[Host]) -> bool:
    name = canonical_host(host)
    return (name, port) in hosts or (name, None) in hosts


def _belongs_url(url: str, hosts: frozenset[Host]) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return _belongs(parts.hostname or "", port or _DEFAULT_PORTS.get(parts.scheme), hosts)


def _fake_reasons(evidence: Evidence, duration_s: float, hosts: frozenset[Host]) -> tuple[str, ...]:
    reasons = [
        *(["mocked"] if evidence.mocked else []),
        *(["instant"] if duration_s < INSTANT_S else []),
        "no-contact",
    ]
    if evidence.mocked:
        reasons.append(f"patched: {', '.join(evidence.mocked)}")
    if not hosts:
        reasons.append("no host of the environment is known: give it services or hosts")
    others = sorted({f"{contact.host}:{contact.port}" for contact in evidence.contacts})
    if hosts and others:
        reasons.append(f"talked only to {', '.join(others[:3])}{' and others' if len(others) > 3 else ''}")
    return tuple(reasons)


def _failure_signs(evidence: Evidence, hosts: frozenset[Host]) -> list[str]:
    """What the server said against a pass, once each, in the order it was seen."""
    signs: dict[str, None] = {}
    for exchange in evidence.exchanges:
        if exchange.status is not None and exchange.status >= 500 and _belongs_url(exchange.url, hosts):
            signs[f"HTTP {exchange.status} to {exchange.method} {urlsplit(exchange.url).path or '/'}"] = None
    for frame in evidence.frames:
        if not _belongs_url(frame.url, hosts):
            continue
        if (
            frame.kind == "close"
            and frame.code in SERVER_CLOSES
            and frame.direction == "received"  # one that we sent, or gave up waiting with, is no word of the server's
        ):
            signs[f"WebSocket closed with {frame.code}"] = None
        elif is_error_event(frame):
            signs[f"error event {frame.event} received"] = None
    return list(signs)
