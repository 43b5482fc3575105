"""The environment's cloud: whether it is there, who we are to it, and each permission that a session needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING

from netra_loop.cloud.lean import lean_imports
from netra_loop.doctor import network
from netra_loop.doctor.base import Line, Loop, Subject, fail, ok, warn
from netra_loop.doctor.images import image_lines
from netra_loop.errors import CloudCallFailed, EnvironmentFailed, NetraLoopError

if TYPE_CHECKING:
    from netra_loop.cloud.google_checkup import Checkup

_ASKED = ("run.services.get", "run.services.update", "run.services.delete")
_SOME_IMAGE = "us-docker.pkg.dev/cloudrun/container/hello"
_UNREACHED = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
_TOKEN_HINT = "set NETRA_LOOP_CLOUD_TOKEN to what the endpoint expects; netra-loop cloud prints its own"
_UNKNOWN_HERE = frozenset({"UNIMPLEMENTED", "INVALID_ARGUMENT"})


async def cloud(subject: Subject) -> AsyncIterator[Line]:
    """The embedded cloud is started, to be ended with the loop's tools; Google's, or an endpoint's, is asked what it
    lets us do.
    """
    loop = subject.loop
    if loop is None or loop.place.cloud == "none":
        return
    if loop.place.cloud == "embedded":
        yield await _embedded(subject, loop)
        return
    with lean_imports():
        from netra_loop.cloud.google_checkup import Checkup  # the google packages cost half a second

    try:
        project, region, endpoint, token = loop.tools.place()
        checkup = Checkup(project, region, endpoint, token)
    except NetraLoopError as error:
        yield fail("cloud", str(error), error.hint or "")
        return
    try:
        async for line in _google(subject, loop, checkup, google=endpoint is None):
            yield line
    finally:
        await checkup.close()


async def _embedded(subject: Subject, loop: Loop) -> Line:
    began = subject.clock.monotonic()
    try:
        await loop.tools.cloud()
    except EnvironmentFailed as error:
        return fail("cloud", str(error), error.hint or "")
    return ok("cloud", f"the embedded cloud starts, in {subject.clock.monotonic() - began:.1f} s")


async def _google(subject: Subject, loop: Loop, checkup: Checkup, *, google: bool) -> AsyncIterator[Line]:
    access = None
    if google:
        line, access = await _login(subject)
        yield line
        if access is None:
            return
    await checkup.ready()
    there: dict[str, str] = {}
    for number, name in enumerate(loop.spec.services or {"netra-loop-doctor": None}):
        check = "cloud" if number == 0 else f"service {name}"
        try:
            service = await checkup.service(name)
        except CloudCallFailed as error:
            if error.code == "UNAUTHENTICATED":
                yield fail("credentials", str(error), (error.hint or "") if google else _TOKEN_HINT)
                return
            yield fail(
                check if error.code in _UNREACHED else f"permission to read {name}", str(error), error.hint or ""
            )
            if error.code in _UNREACHED:
                return
            continue
        stands = "is not there yet: the first deploy makes it" if service is None else f"is at {service.uri}"
        yield ok(check, f"Cloud Run answers; service {name} {stands}")
        if service is not None:
            there[name] = service.uri
    async for line in _permissions(loop, checkup, there, google=google):
        yield line
    if google and access is not None:
        async for line in image_lines(loop, access):
            yield line
    async for line in _addresses(subject, loop, there):
        yield line


async def _login(subject: Subject) -> tuple[Line, str | None]:
    from netra_loop.cloud.google_checkup import login

    try:
        found = await login()
    except CloudCallFailed as error:
        return fail("credentials", str(error), error.hint or ""), None
    who = found.principal or "whoever logged in (the credentials do not say who)"
    until = ""
    if found.expires_at is not None:
        left_s = (found.expires_at - subject.clock.now().replace(tzinfo=None)).total_seconds()
        until = f"; its token is good for {left_s / 60:.0f} minutes and renewed by itself"
    return ok("credentials", f"{found.kind}: {who}{until}"), found.token


async def _permissions(loop: Loop, checkup: Checkup, there: dict[str, str], *, google: bool) -> AsyncIterator[Line]:
    """Each that a session needs, as far as it can be known without a deploy."""
    for name in there:
        yield await _held(checkup, name)
    if loop.spec.services:
        name = next(iter(loop.spec.services))
        image = _image(loop, name, google=google)
        for check, call in (
            ("permission to deploy", checkup.rehearse(name, image)),
            ("permission to list revisions", checkup.revisions(name)),
            ("permission to read operations", checkup.operation()),
        ):
            yield await _let_through(check, call)
    yield await _let_through("permission to read logs", checkup.entries())


async def _held(checkup: Checkup, name: str) -> Line:
    check = f"permissions on {name}"
    try:
        held = await checkup.held(name, _ASKED)
    except CloudCallFailed as error:
        return warn(check, f"cannot be asked for: {error}", error.hint or "")
    lacking = [one for one in _ASKED[:2] if one not in held]
    if lacking:
        return fail(check, f"we lack {', '.join(lacking)}", checkup.granting("roles/run.developer"))
    return ok(check, f"we have {', '.join(one for one in _ASKED if one in held)}")


async def _let_through(check: str, call: Awaitable[None]) -> Line:
    try:
        await call
    except CloudCallFailed as error:
        if error.code in _UNKNOWN_HERE:
            return warn(check, f"could not be tried: {error}", error.hint or "")
        return fail(check, str(error), error.hint or "")
    return ok(check, "given; nothing was changed" if check.endswith("deploy") else "given")


def _image(loop: Loop, name: str, *, google: bool) -> str | None:
    """What is deployed, or something in its place while that is not known; None: a command, by an endpoint."""
    own = loop.spec.services[name].image
    if not google and loop.spec.services[name].command:
        return None
    return (network.filled(loop, own) if own is not None else None) or _SOME_IMAGE


async def _addresses(subject: Subject, loop: Loop, there: dict[str, str]) -> AsyncIterator[Line]:
    """The services that are there, asked as a test would: a protected one turns us away, which says that it is up. Last
    their clocks, held against ours.
    """
    answers = []
    for name, url in there.items():
        probe = loop.spec.services[name].startup_probe if name in loop.spec.services else None
        whole = url + (probe.path if probe is not None else "/")
        answer = await network.get(whole, subject.clock)
        answers.append(answer)
        if answer.status in {401, 403} and not loop.spec.auth:
            mend = "give the loop `auth: [{identity_token: {}}]`, and its principal roles/run.invoker"
            yield warn(f"url of {name}", f"{whole} answers {answer.status}: the service is protected", mend)
        else:
            yield network.reached(f"url of {name}", whole, answer)
    if (clock := network.skew(answers)) is not None:
        yield clock
