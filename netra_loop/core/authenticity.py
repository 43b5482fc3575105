"""Whether a pass was seen to happen: real, suspect or fake, with the reasons (contract, "Outcome of a test").

Reasons of a fake pass begin with the contract's own words (`mocked`, `instant`, `no-contact`, `wrong-revision`);
sentences with the detail follow. What the request log adds later is `core/vouching.py`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from netra_loop.core.records import Authenticity, Contact, Evidence, Exchange, Frame, Outcome

Host = tuple[str, int | None]

INSTANT_S = 0.001  # no exchange with another process fits into less
SERVER_CLOSES = frozenset({1006, 1011})
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_ERROR_EVENTS = frozenset({"error", "error_message", "error_event", "agent_failed", "tool_failed"})
_BESIDE = (
    "what went to {peer} and back was sent by a thread that runs since before this test ({threads}), and the test was"
    " not seen to hand it anything: it may have asked by itself; have the test send a request of its own, or hand its"
    " work over by an executor, a queue.Queue or the thread's event loop"
)
_UNASKED = (
    "{received} bytes came from {peer}, and nothing was sent there while the test ran: an earlier test or a fixture may"
    " have asked for them; have the test send a request of its own"
)
_MESSAGES = frozenset({"text", "binary"})
_SHOWN = 3  # of hosts, programs and patches in a sentence


def assess(
    outcome: Outcome,
    evidence: Evidence,
    duration_s: float,
    environment_hosts: Iterable[Host],
    *,
    mode: str = "required",
    proxies: Iterable[Host] = (),
    changed: str | None = None,
) -> tuple[Authenticity, tuple[str, ...]]:
    """How far a pass can be believed. `mode` is the loop's `goal.authenticity`; `off`, like any outcome but `passed`,
    gives `n/a`.

    `environment_hosts` are (host, port) pairs, port None for any port. All names of the loopback are one host, which
    counts at the named port alone: a stub that a test started for itself is not the environment. `proxies` are those
    the tests were told to use. `changed` is the reason by `core/sources.py` where the test's source changed.
    """
    if mode == "off" or outcome is not Outcome.PASSED:
        return Authenticity.NOT_APPLICABLE, ()
    hosts = _canonical(environment_hosts)
    late = () if changed is None else (changed,)
    signs = (*_failure_signs(evidence, hosts), *late)
    if not _talked(evidence, hosts, _canonical(proxies)):
        doubt = _doubt(evidence, hosts, _canonical(proxies))
        if doubt is None:
            return Authenticity.FAKE, (*_fake_reasons(evidence, duration_s, hosts), *late)
        return Authenticity.SUSPECT, (doubt, *signs)
    return (Authenticity.SUSPECT, signs) if signs else (Authenticity.REAL, ())


def canonical_host(host: str) -> str:
    """`host` in one spelling: lower case, no brackets, no trailing dot, IDNA; each name of the loopback is
    `localhost`.
    """
    name = host.strip().lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "localhost"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name if name.isascii() else _idna(name)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return "localhost" if address.is_loopback or address.is_unspecified else str(address)


def host_of(url: str) -> Host | None:
    """The host of `url` in one spelling, and its port; None where it names none that could be connected to."""
    try:
        parts = urlsplit(url)
        return canonical_host(parts.hostname or ""), parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None


def is_error_event(frame: Frame) -> bool:
    """Whether the server said over the socket that something went wrong."""
    name = (frame.event or "").lower()
    return frame.direction == "received" and (name in _ERROR_EVENTS or name.endswith("_error"))


def listed(names: Iterable[str]) -> str:
    """The first of `names` for a sentence, each once."""
    unique = list(dict.fromkeys(names))
    return f"{', '.join(unique[:_SHOWN])}{' and others' if len(unique) > _SHOWN else ''}"


def programs_of(evidence: Evidence) -> str:
    """The programs of a test for a sentence, such as `started curl, beside node of a shared fixture`; "" where it had
    none.
    """
    own = [child for child in evidence.children if not child.apart]
    started = listed(child.program for child in own if not child.shared)
    held = listed(child.program for child in own if child.shared)
    told = (f"started {started}" if started else "", f"beside {held} of a shared fixture" if held else "")
    return ", ".join(part for part in told if part)


def _idna(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _canonical(hosts: Iterable[Host]) -> frozenset[Host]:
    return frozenset((canonical_host(host), port) for host, port in hosts)


def _talked(evidence: Evidence, hosts: frozenset[Host], proxies: frozenset[Host]) -> bool:
    """Whether the test had bytes go both ways with a host of the environment: straight, or through a proxy, whose peer
    then tells nothing, so that an answer from a URL of the environment has to.
    """
    own = [contact for contact in evidence.contacts if contact.thread is None]
    both_ways = [contact for contact in own if contact.sent > 0 and contact.received > 0]
    if any(_belongs(contact.host, contact.port, hosts) for contact in both_ways):
        return True
    proxied = any(_belongs(contact.host, contact.port, proxies) for contact in both_ways)
    return proxied and not evidence.mocked and bool(_answered(evidence, hosts))


def _doubt(evidence: Evidence, hosts: frozenset[Host], proxies: frozenset[Host]) -> str | None:
    """Why a test that did not talk may have talked all the same: bytes came from a host of the environment, or a proxy,
    but another's thread had asked for them, or nobody while it ran. None where it cannot have.
    """
    peers = hosts | proxies if not evidence.mocked and _answered(evidence, hosts) else hosts
    there = [contact for contact in evidence.contacts if _belongs(contact.host, contact.port, peers)]
    for peer in dict.fromkeys(map(_peer, there)):
        of_it = [contact for contact in there if _peer(contact) == peer]
        if not any(contact.received for contact in of_it):
            continue
        threads = [contact.thread for contact in of_it if contact.thread is not None]
        if threads and any(contact.sent for contact in of_it):
            return _BESIDE.format(peer=peer, threads=listed(threads))
        if not threads or _pushed(evidence, hosts):
            received = sum(contact.received for contact in of_it)
            return _UNASKED.format(peer=peer, received=received)
    return None


def _pushed(evidence: Evidence, hosts: frozenset[Host]) -> bool:
    """Whether messages came over a WebSocket of the environment; what keeps it alive is none."""
    return any(frame.kind in _MESSAGES and _belongs_url(frame.url, hosts) for frame in _received(evidence))


def _received(evidence: Evidence) -> list[Frame]:
    return [frame for frame in evidence.frames if frame.direction == "received"]


def _answered(evidence: Evidence, hosts: frozenset[Host]) -> list[str]:
    """The URLs of the environment from which an answer or a frame came, as far as the clients tell."""
    answers = [one.url for one in evidence.exchanges if one.status is not None]
    frames = [frame.url for frame in _received(evidence)]
    return [url for url in (*answers, *frames) if _belongs_url(url, hosts)]


def _belongs(host: str, port: int | None, hosts: frozenset[Host]) -> bool:
    name = canonical_host(host)
    return (name, port) in hosts or (name, None) in hosts


def _belongs_url(url: str, hosts: frozenset[Host]) -> bool:
    host = host_of(url)
    return host is not None and _belongs(*host, hosts)


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
    else:
        reasons += _met(evidence, hosts)
    if programs := programs_of(evidence):
        reasons.append(f"{programs}: what other programs send is not seen, only the request log tells of it")
    return tuple(reasons)


def _met(evidence: Evidence, hosts: frozenset[Host]) -> list[str]:
    """What there was in place of an exchange with the environment."""
    told = []
    tried = [contact for contact in evidence.contacts if _belongs(contact.host, contact.port, hosts)]
    others = [contact for contact in evidence.contacts if contact not in tried]
    if tried:
        sent, received = sum(contact.sent for contact in tried), sum(contact.received for contact in tried)
        told.append(f"{listed(map(_peer, tried))}: {sent} bytes sent, {received} received")
    elif not others and not evidence.mocked and (urls := _answered(evidence, hosts)):
        whose = "a fixture that tests share, or by no network at all"
        told.append(f"answered without a byte of its own, by {whose}: {listed(map(_place, urls))}")
    if others:
        told.append(f"talked only to {listed(sorted(map(_peer, others)))}")
    return told


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _peer(contact: Contact) -> str:
    return f"{contact.host}:{contact.port}"


def _failure_signs(evidence: Evidence, hosts: frozenset[Host]) -> list[str]:
    """What the server said against a pass, once each, in the order it was seen."""
    signs: dict[str, None] = {}
    for exchange in evidence.exchanges:
        if exchange.status is not None and exchange.status >= 500 and _belongs_url(exchange.url, hosts):
            signs[_status_sign(exchange)] = None
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


def _status_sign(exchange: Exchange) -> str:
    return f"HTTP {exchange.status} to {exchange.method} {urlsplit(exchange.url).path or '/'}"
