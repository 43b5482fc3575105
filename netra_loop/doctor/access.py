"""Whether the loop's `auth` gets a token, way by way: those after the one that works are what is left when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from shutil import which

from netra_loop.clock import Clock
from netra_loop.cloud.auth import TokenSource
from netra_loop.core.events import AuthTried
from netra_loop.core.spec import AuthSpec, Command, IdentityTokenAuth
from netra_loop.doctor.base import Line, Loop, Subject, fail, ok, warn
from netra_loop.errors import AuthFailed, NetraLoopError

_SOME_AUDIENCE = "https://netra-loop-doctor.invalid"


async def tokens(subject: Subject) -> AsyncIterator[Line]:
    """Asks in each way but by a command, which may do anything."""
    loop = subject.loop
    if loop is None or not loop.spec.auth:
        return
    found = [(number, way, await _try(loop, way, subject.clock)) for number, way in enumerate(loop.spec.auth, start=1)]
    some = any(answer.ok for _, _, answer in found)
    for number, way, answer in found:
        check = f"auth {number} ({answer.method})"
        if answer.ok:
            yield ok(check, answer.answer)
            continue
        told = f"{answer.status} {answer.answer}" if answer.status is not None else answer.answer
        yield (warn if some or _is_later(way, answer) else fail)(check, told, _mend(loop, way, answer))


async def _try(loop: Loop, way: AuthSpec, clock: Clock) -> AuthTried:
    if way.command is not None:
        return _command(loop, way.command)
    if way.identity_token is not None and way.identity_token.audience is None:
        # The service may not be there yet; whoever gets a token for some audience gets one for any.
        way = AuthSpec(identity_token=IdentityTokenAuth(audience=_SOME_AUDIENCE))
    tried: list[AuthTried] = []
    with suppress(AuthFailed):  # what was answered was told
        await TokenSource([way], loop.scope.any, loop.scope.command, clock, identity=loop.tools.identity).token(
            tried.append
        )
    return tried[-1]


def _command(loop: Loop, command: Command) -> AuthTried:
    try:
        program = loop.scope.command(command)[0]
    except NetraLoopError as error:
        return AuthTried(method="command", ok=False, answer=str(error))
    found = which(program, path=loop.scope.environ.get("PATH")) or (loop.spec.base_dir / program).exists()
    told = f"{program} is there; it was not run" if found else f"there is no {program!r}"
    return AuthTried(method="command", ok=bool(found), answer=told)


def _is_later(way: AuthSpec, answer: AuthTried) -> bool:
    """Whether a session asks a service that it deploys itself: before, nobody can say what it will answer."""
    return way.bypass is not None and answer.status is None and "${services." in way.bypass.url


def _mend(loop: Loop, way: AuthSpec, answer: AuthTried) -> str:
    if _is_later(way, answer):
        return "nothing yet: a session asks once it has deployed the service"
    if way.bypass is not None and answer.status is None:
        return "is it up? check its url, and the variables in it"
    if way.identity_token is not None:
        return "gcloud auth login, or set GOOGLE_APPLICATION_CREDENTIALS to a service account's key"
    return f"set the variables that this way names in {loop.spec.path.name}, under auth"
