"""Whether a revision that the cloud calls ready is what answers at the URL under test, asked as a test would ask."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from netra_loop.cloud.base import Cloud, Failed, LogQuery
from netra_loop.core.events import Noted
from netra_loop.core.records import Revision
from netra_loop.core.spec import ServiceSpec
from netra_loop.errors import EnvironmentFailed
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.tokens import token

ANOTHER = "AnotherRevisionServes"
SILENT = "ProbePathNotAnswered"
LIMIT_S = 60.0
_ATTACH_LIMIT_S = 30.0
_REFUSED_LIMIT_S = 10.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 4.0
_SOON_S = 5.0
_LOOKS_S = (0.05, 0.15, 0.3, 0.7, 2.3, 6.5)  # ten seconds in all: reading entries has a quota
_FEW_LOOKS_S = (0.5, 1.5)  # where the log of one service was late already
_MOST_IN_VAIN = 8
_SKEW = timedelta(seconds=60)  # between our clock and the cloud's
_LAST_LINES = 50
_MOST_PAGES = 5
_REFUSED = frozenset({401, 403})


class Looks:
    """How often the services of one deploy may still look for their answer in the request log: reading it has a quota,
    which the logs of the tests need more. Each service looks once at least.
    """

    def __init__(self) -> None:
        self._in_vain = 0
        self._late = False

    def pauses_s(self) -> Sequence[float]:
        """The pauses before each look for one answer."""
        return _FEW_LOOKS_S[: max(1, _MOST_IN_VAIN - self._in_vain)] if self._late else _LOOKS_S

    def looked_in_vain(self, times: int) -> None:
        """The log did not tell of an answer in time, though it was looked at so often."""
        self._in_vain += times
        self._late = True


async def until_it_answers(
    context: PhaseContext, cloud: Cloud, revision: Revision, spec: ServiceSpec | None, looks: Looks | None = None
) -> Failed | None:
    """None once `revision` itself answered a marked GET of its probe path with 2xx (without a probe: at all); what is
    wrong where it did not within a minute.

    Where the request log does not tell who answered within ten seconds, that is noted and the revision taken for
    ready: each test's own requests are judged by the same log later. `looks` are those that the services of one deploy
    share: once the log was late for one, the others wait two seconds for it. Raises EnvironmentFailed where whoever
    asks is refused, with the token of `auth` too.
    """
    asked = _Asking(context, revision, spec)
    looks = looks or Looks()
    began = context.clock.monotonic()
    pause_s, another = _FIRST_PAUSE_S, None
    while True:
        trace_id, status = await asked.once()
        if asked.is_good(status):
            another = await _another(context, cloud, revision, trace_id, looks)
            if another is None:
                return None
        waited_s = context.clock.monotonic() - began
        if status in _REFUSED and spec is not None and spec.startup_probe is not None and waited_s >= _REFUSED_LIMIT_S:
            raise _refused(revision, asked.url, status or 0)
        if waited_s >= LIMIT_S:
            return await _failed(context, cloud, revision, asked.url, status, another)
        # What the cloud calls ready answers in a moment; whoever does not by then takes longer.
        pause_s = _FIRST_PAUSE_S if waited_s < _SOON_S and another is None else min(2 * pause_s, _LONGEST_PAUSE_S)
        await context.clock.sleep(min(pause_s, max(0.0, LIMIT_S - waited_s)))


async def look(context: PhaseContext, revision: Revision, spec: ServiceSpec | None) -> None:
    """Whether anybody answers at the URL under test: for a revision that somebody else deployed. An instance may have
    to start first. Raises EnvironmentFailed where nobody does; an answer that is not 2xx is only noted.
    """
    asked = _Asking(context, revision, spec)
    end = context.clock.monotonic() + _ATTACH_LIMIT_S
    while (status := (await asked.once())[1]) is None:
        if context.clock.monotonic() >= end:
            raise EnvironmentFailed(
                f"service {revision.service!r} serves {revision.name!r}, but nobody answers at {asked.url}",
                hint="check the URL, the network and the service's ingress, then resume",
            )
        await context.clock.sleep(1.0)
    if not asked.is_good(status):
        await context.event(Noted(text=f"{revision.name} answered GET {asked.url} with {status}, expected 2xx"))


class _Asking:
    """One marked GET after the other, with a token once that is asked for."""

    def __init__(self, context: PhaseContext, revision: Revision, spec: ServiceSpec | None) -> None:
        self._context = context
        self._revision = revision
        self._probed = spec is not None and spec.startup_probe is not None
        path = spec.startup_probe.path if spec is not None and spec.startup_probe is not None else "/"
        self.url = revision.url + path
        self._token: str | None = None

    async def once(self) -> tuple[str, int | None]:
        """The request's trace and its status; None where nobody answered."""
        trace_id, status = await self._ask()
        if status in _REFUSED and self._token is None and self._context.spec.auth:
            scope = self._context.scope()
            known = {**scope.revisions, self._revision.service: self._revision}
            scope = replace(scope, revisions=known)
            self._token = await token(self._context, scope)
            trace_id, status = await self._ask()
        return trace_id, status

    def is_good(self, status: int | None) -> bool:
        """Whether that is an answer to be content with."""
        return status is not None and (not self._probed or 200 <= status < 300)

    async def _ask(self) -> tuple[str, int | None]:
        trace_id = secrets.token_hex(16)
        tools = self._context.tools
        if self._token is None:
            return trace_id, await tools.request(self.url, trace_id)
        return trace_id, await tools.request(self.url, trace_id, self._token)


async def _another(context: PhaseContext, cloud: Cloud, revision: Revision, trace_id: str, looks: Looks) -> str | None:
    """The short name of the other revision that answered the marked request; None where `revision` did, as far as the
    request log tells.
    """
    since = context.clock.now() - _SKEW
    pauses_s = looks.pauses_s()
    give_up = context.clock.monotonic() + sum(pauses_s)
    query = LogQuery((revision.name,), since, services=(revision.service,), traces=(trace_id,), give_up=lambda: give_up)
    why = "its request log was not to be read in time"
    for pause_s in pauses_s:
        await context.clock.sleep(pause_s)
        try:
            async for page in cloud.entries(query):
                for entry in page.entries:
                    if entry.log == "requests" and entry.trace_id == trace_id:
                        return None if entry.revision == revision.name else entry.revision
        except EnvironmentFailed as error:
            why = str(error)
            break
    looks.looked_in_vain(len(pauses_s))
    await context.event(
        Noted(text=f"{revision.url} answered, but it is not confirmed that {revision.name} did: {why}"),
    )
    return None


async def _failed(
    context: PhaseContext, cloud: Cloud, revision: Revision, url: str, status: int | None, another: str | None
) -> Failed:
    lines = await _last_lines(context, cloud, revision)
    if another is not None:
        message = f"Revision '{revision.name}' is ready, but '{another}' answered GET {url} for {LIMIT_S:g} s."
        hint = "look at the service's traffic, and at what the URL leads to: a load balancer, a domain, a cache"
        return Failed(revision.service, revision.name, ANOTHER, message, lines, hint)
    told = "was answered by nobody" if status is None else f"was answered with {status}, expected 2xx,"
    message = f"Revision '{revision.name}' is ready, but GET {url} {told} for {LIMIT_S:g} s."
    hint = "check the probe's path, the service's ingress and, with a url of its own, where that leads"
    return Failed(revision.service, revision.name, SILENT, message, lines, hint)


async def _last_lines(context: PhaseContext, cloud: Cloud, revision: Revision) -> tuple[str, ...]:
    """What the container itself said last; nothing where that cannot be read."""
    since = (context.state().iteration_since or context.clock.now()) - _SKEW
    lines: list[str] = []
    pages = 0
    try:
        async for page in cloud.entries(LogQuery((revision.name,), since)):
            said = [entry.message for entry in page.entries if entry.log != "requests" and entry.message]
            lines = [*lines, *said][-_LAST_LINES:]
            pages += 1
            if pages == _MOST_PAGES:
                break
    except EnvironmentFailed:
        return ()  # the failure itself is told; its lines are an addition
    return tuple(lines)


def _refused(revision: Revision, url: str, status: int) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"revision {revision.name!r} is ready, but GET {url} is refused with {status}, expected 2xx",
        hint="the service is protected: give the loop `auth: [{identity_token: {}}]`, and its principal "
        "roles/run.invoker; then resume",
    )
