"""How a call to Google's APIs is made: with a deadline of its own, reads retried, every refusal one of `errors`."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from netra_loop.clock import Clock
from netra_loop.cloud.google_link import LOGIN, Link
from netra_loop.cloud.google_refusals import API_ERRORS, Caller, asked_pause_s, refused
from netra_loop.errors import AccessRefused, CloudCallFailed, OutOfReads

T = TypeVar("T")
OnWait = Callable[[str, float], Awaitable[None]]

CALL_LIMIT_S = 15.0
_TOLD_S = 1.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 16.0
_OWN_SERVER_PATIENCE_S = 30.0  # it is on this machine: it is there or it is gone
_PATIENCE_S = 120.0
_WHYS = {
    "RESOURCE_EXHAUSTED": "a quota is used up",
    "UNAVAILABLE": "the API cannot be reached",
    "DEADLINE_EXCEEDED": "the API does not answer",
}


class Calls:
    """Makes calls over `link`. The library's own retries are off in all of them (`retry=None`), and each has a
    `timeout`: what is tried again, and for how long, is decided here alone.

    `on_wait` is told of every wait over a second, and of shorter ones once they add up to one: why, and how long.
    """

    def __init__(self, link: Link, clock: Clock, project: str, on_wait: OnWait | None = None) -> None:
        self._link = link
        self._clock = clock
        self._project = project
        self._on_wait = on_wait
        own = link.endpoint is not None and link.endpoint.startswith("unix:")
        self.patience_s = _OWN_SERVER_PATIENCE_S if own else _PATIENCE_S

    async def once(self, call: str, make: Callable[[], Awaitable[T]]) -> T:
        """A call that changes something: made once. Raises CloudCallFailed; where its `retryable` is true, whether it
        took effect is for the caller to find out.

        Credentials that are refused are renewed and the call, which did nothing, is made again; AccessRefused is raised
        where they are refused once more.
        """
        await self._link.ready()
        try:
            return await make()
        except API_ERRORS as error:
            failed = self._refused(call, error)
            if failed.code != "UNAUTHENTICATED":
                raise failed from error
        try:
            await self._link.renew()
            return await make()
        except API_ERRORS as error:
            failed = self._refused(call, error)
            if failed.code != "UNAUTHENTICATED":
                raise failed from error
            hint = f"{LOGIN}, then: netra-loop resume" if self._link.endpoint is None else _TOKEN_HINT
            raise AccessRefused(call, failed.code, failed.detail, hint=hint) from error

    async def read(self, call: str, make: Callable[[], Awaitable[T]]) -> T:
        """A call that only looks: retried with full jitter while that can help, for `patience_s` seconds in all."""
        waiting = self.patient()
        while True:
            try:
                return await self.once(call, make)
            except CloudCallFailed as error:
                if not error.retryable or not await waiting.pause(error):
                    raise

    async def read_or_none(self, call: str, make: Callable[[], Awaitable[T]]) -> T | None:
        """The same; None where the thing is not there."""
        try:
            return await self.read(call, make)
        except CloudCallFailed as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    def patient(self, patience_s: float | None = None) -> Waiting:
        """The pauses between the tries of one thing that starts now."""
        return Waiting(self._clock, self.patience_s if patience_s is None else patience_s, self._on_wait)

    def _refused(self, call: str, error: Exception) -> CloudCallFailed:
        return refused(call, error, Caller(self._project, self._link.principal))


class Waiting:
    """Pauses with full jitter, each up to twice as long as the one before, until the budget is used up."""

    def __init__(self, clock: Clock, patience_s: float, on_wait: OnWait | None) -> None:
        self._clock = clock
        self._end = clock.monotonic() + patience_s
        self._since = clock.monotonic()
        self._on_wait = on_wait
        self._longest_s = _FIRST_PAUSE_S

    async def pause(self, error: CloudCallFailed, give_up: Callable[[], float] | None = None) -> bool:
        """Waits before the next try, at least as long as the API asks; False at once where no time is left for one.
        Raises OutOfReads at once where the wait would end after the monotonic time that `give_up` says.
        """
        asked_s = asked_pause_s(error.__cause__)
        pause_s = asked_s + random.uniform(0, self._longest_s)  # noqa: S311  # jitter is no secret
        now = self._clock.monotonic()
        if give_up is not None and now + pause_s > give_up():
            raise OutOfReads(error.call, pause_s, "the API's quota of reads") from error
        if now + pause_s > self._end:
            return False
        self._longest_s = min(2 * self._longest_s, _LONGEST_PAUSE_S)
        waited_s = now - self._since + pause_s  # with the time that the failed tries themselves took
        if waited_s >= _TOLD_S:
            self._since = now + pause_s
            if self._on_wait is not None:
                await self._on_wait(_why(error), round(waited_s, 3))
        await self._clock.sleep(pause_s)
        return True


def _why(error: CloudCallFailed) -> str:
    known = _WHYS.get(error.code)
    if known is not None:
        return f"{known} ({error.code}): {error.call}"
    return f"the API failed ({error.code}): {error.call}: {error.detail[:_SAID]}"


_SAID = 200  # characters of what the API said
_TOKEN_HINT = "set NETRA_LOOP_CLOUD_TOKEN to the token of the endpoint, then: netra-loop resume"
