"""What a session talks to besides the cloud's API: hosts, where tokens come from, and whose clock is right."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from netra_loop.clock import Clock
from netra_loop.core import template
from netra_loop.doctor.base import Line, Loop, Subject, fail, ok, warn
from netra_loop.errors import NetraLoopError
from netra_loop.values import dataclass

LIMIT_S = 10.0
CLOCK = "clock"
_SKEW_WARN_S = 5.0
_SKEW_FAIL_S = 300.0
_GOOGLE = "https://run.googleapis.com/"
_LOOPBACK = ("localhost", "127.", "::1")


@dataclass(frozen=True)
class Answer:
    """What came of one GET: the status, or in words why there was none. `ahead_s` is our clock's lead over theirs."""

    status: int | None
    trouble: str = ""
    mend: str = ""
    ahead_s: float | None = None


async def urls(subject: Subject) -> AsyncIterator[Line]:
    """Every URL that is known before anything is deployed, and the clocks of those who answered."""
    wanted = dict(_wanted(subject))
    answers = dict(
        zip(wanted, await asyncio.gather(*(get(url, subject.clock) for url in wanted.values())), strict=True)
    )
    for name, answer in answers.items():
        yield reached(name, wanted[name], answer)
    clock = skew([answer for answer in answers.values() if answer.ahead_s is not None])
    if clock is not None:
        yield clock


def _wanted(subject: Subject) -> Iterator[tuple[str, str]]:
    loop = subject.loop
    if loop is None:
        return
    for name, service in loop.spec.services.items():
        if service.url is not None and (url := filled(loop, service.url)):
            path = service.startup_probe.path if service.startup_probe is not None else "/"
            yield f"url of {name}", url.rstrip("/") + path
    for host in loop.place.hosts:
        if text := filled(loop, host):
            yield f"host {text}", text if "://" in text else f"{_scheme(text)}://{text}/"
    if loop.place.cloud == "google" and loop.place.endpoint is None:
        yield "Google's API", _GOOGLE


def _scheme(host: str) -> str:
    plain = host.startswith(_LOOPBACK) or (":" in host and not host.endswith((":443", ":8443", "]")))
    return "http" if plain else "https"


def filled(loop: Loop, text: str) -> str | None:
    """`text` with its variables; None where they are not known before a session has begun, or not set."""
    try:
        return loop.scope.text(text) or None
    except (NetraLoopError, template.TemplateError, LookupError, ValueError):
        return None


async def get(url: str, clock: Clock, token: str | None = None) -> Answer:
    """One GET; redirects are not followed. An answer of any status is one: somebody is there."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    began = clock.now()
    outside = not (urlsplit(url).hostname or "").startswith(_LOOPBACK)
    try:
        async with (
            asyncio.timeout(LIMIT_S),
            httpx.AsyncClient(timeout=None, trust_env=outside) as client,  # noqa: S113  # the limit is over it all
            client.stream("GET", url, headers=headers) as response,
        ):
            return Answer(response.status_code, ahead_s=_ahead(response.headers.get("date"), began, clock.now()))
    except TimeoutError:
        return Answer(None, f"gave no answer within {LIMIT_S:g} s", "check the network: a firewall, a proxy, a VPN")
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
        return _unreached(error)


def _unreached(error: Exception) -> Answer:
    """Told apart by what is at the bottom of it."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    told = " ".join(str(error).split()) or type(error).__name__
    if any(isinstance(one, socket.gaierror) for one in chain) or "Name or service not known" in told:
        return Answer(None, f"its name is not known (DNS): {told}", "check the name, and this machine's DNS")
    if any(isinstance(one, ssl.SSLError) for one in chain) or "CERTIFICATE" in told or "SSL" in told:
        return Answer(None, f"TLS failed: {told}", "check its certificate, or set SSL_CERT_FILE to your own authority")
    if any(isinstance(one, ConnectionRefusedError) for one in chain) or "onnect" in told:
        return Answer(None, f"refused the connection: {told}", "is it up? check host and port")
    return Answer(None, f"cannot be reached: {told}", "check the URL and the network")


def reached(check: str, url: str, answer: Answer) -> Line:
    """The line about a URL."""
    if answer.status is None:
        return fail(check, f"{url} {answer.trouble}", answer.mend)
    if answer.status in {502, 503, 504}:
        return warn(check, f"{url} answers {answer.status}: there is a front, and nobody behind it")
    return ok(check, f"{url} answers {answer.status}")


def _ahead(date: str | None, began: datetime, ended: datetime) -> float | None:
    """How far our clock is ahead of theirs, as far as whole seconds and the time under way can tell."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if theirs.tzinfo is None:
        return None
    early, late = (began - theirs).total_seconds() - 1.0, (ended - theirs).total_seconds()
    return 0.0 if early <= 0 <= late else min(early, late, key=abs)


def skew(answers: list[Answer]) -> Line | None:
    """Whose clock is right: tokens are refused, and logs sought at the wrong time, where ours is not."""
    found = [answer.ahead_s for answer in answers if answer.ahead_s is not None]
    if not found:
        return None
    worst = min(found, key=abs)  # one server's clock may be wrong; where all differ from ours, it is ours
    told = f"this machine's clock is {abs(worst):.0f} s {'ahead of' if worst > 0 else 'behind'} those of who answered"
    mend = "set it: sudo timedatectl set-ntp true"
    if abs(worst) > _SKEW_FAIL_S:
        return fail(CLOCK, told, mend)
    if abs(worst) > _SKEW_WARN_S:
        return warn(CLOCK, told, mend)
    return ok(CLOCK, "agrees with those of who answered")
