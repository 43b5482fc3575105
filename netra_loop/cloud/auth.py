"""The auth chain: ways to a token, tried in the loop file's order until one works."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from netra_loop.clock import Clock
from netra_loop.cloud.auth_ways import Refused, Token, ask_bypass, run_command
from netra_loop.cloud.token_life import TokenLife
from netra_loop.core.events import AuthTried
from netra_loop.core.spec import AuthSpec, BypassAuth, Command, IdentityTokenAuth, JwtAuth
from netra_loop.errors import AuthFailed, NetraLoopError, UsageError
from netra_loop.values import dataclass

UNKNOWN_TTL_S = 600.0
ANSWER_MAX = 200
_LONGEST_S = 365 * 86_400.0  # what a calendar can still add
_WAYS = ("jwt", "bypass", "identity_token", "command")

OnTry = Callable[[AuthTried], None]
Identity = Callable[[str | None], Awaitable[Token]]


@dataclass(frozen=True)
class _Kept:
    """A token and when it ends, by both clocks: one stands still while the machine sleeps, the other may be set."""

    text: str
    life_s: float
    ends: float
    ends_at: datetime


class TokenSource:
    """A token that is always good for a while: kept, and renewed 60 s before it expires (a short one at half its life;
    one that does not say, after 10 minutes).

    `render` fills the `${…}` of any value, `argv` those of a command, as the words to start; what they raise makes that
    way fail and the next be tried. `cwd` and `env` are those of a command. `identity` gives an identity token for an
    audience (None: for the service under test). Safe to use from several tasks: one of them asks, the others get its
    answer.
    """

    def __init__(
        self,
        specs: Sequence[AuthSpec],
        render: Callable[[Any], Any],
        argv: Callable[[Command], Sequence[str]],
        clock: Clock,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._specs = tuple(specs)
        self._render = render
        self._argv = argv
        self._clock = clock
        self._cwd = cwd
        self._env = env
        self._identity = identity
        self._kept: _Kept | None = None
        self._trouble: AuthFailed | None = None
        self._lock = asyncio.Lock()

    async def token(self, on_try: OnTry | None = None, good_for_s: float = 0.0) -> str:
        """The token, good for `good_for_s` more seconds where its life allows. Each way tried is told to `on_try`,
        never with a secret in it; a kept token tries nothing. Where none works, the one that is kept is given for as
        long as it lives: see `life`.

        Raises AuthFailed with each way and its answer where none works, UsageError where there is none to try.
        """
        async with self._lock:
            life = self.life()
            if self._kept is None or life is None or life.due_s(good_for_s) <= 0:
                try:
                    self._kept, self._trouble = await self._renew(on_try), None
                except AuthFailed as failed:
                    self._trouble = failed
                    life = self.life()
                    if self._kept is None or life is None or life.left_s <= 0:
                        raise
            return self._kept.text

    def life(self) -> TokenLife | None:
        """Of the token that is kept; None where there is none yet."""
        kept = self._kept
        if kept is None:
            return None
        left_s = min(kept.ends - self._clock.monotonic(), (kept.ends_at - self._clock.now()).total_seconds())
        return TokenLife(max(0.0, left_s), kept.life_s, self._trouble)

    def forget(self) -> None:
        """Drops the kept token: somebody refused it, so the next call asks for another."""
        self._kept = None

    async def _renew(self, on_try: OnTry | None) -> _Kept:
        if not self._specs:
            raise UsageError(
                "a token is asked for, but the loop file has no auth",
                hint="give the loop an auth section: a list of jwt, bypass, identity_token or command",
            )
        answers = []
        last: Refused | None = None
        for spec in self._specs:
            method = next(name for name in _WAYS if getattr(spec, name) is not None)
            secrets: list[str] = []
            began, began_at = self._clock.monotonic(), self._clock.now()
            try:
                token = await self._try(spec, secrets)
            except Refused as refused:
                last = refused
                answer = _safe(refused.answer, secrets)
                _tell(on_try, AuthTried(method=method, ok=False, status=refused.status, answer=answer))
                status = f"{refused.status} " if refused.status is not None else ""
                answers.append(f"{method}: {status}{answer}")
            else:
                life_s = self._life(token)
                told = f"good for {life_s:.0f} s" + (f", by {token.by}" if token.by else "")
                _tell(on_try, AuthTried(method=method, ok=True, status=token.status, answer=told))
                return _Kept(token.text, life_s, began + life_s, began_at + timedelta(seconds=life_s))
        raise AuthFailed(answers) from last

    async def _try(self, spec: AuthSpec, secrets: list[str]) -> Token:
        """Asks in one way. `secrets` collects what no answer may repeat, however it ends."""
        try:
            if spec.jwt is not None:
                return self._sign(spec.jwt, secrets)
            if spec.bypass is not None:
                filled = BypassAuth(url=self._filled(spec.bypass.url, "url"), key=self._filled(spec.bypass.key, "key"))
                secrets.append(filled.key)
                return await ask_bypass(filled.url, filled.key, self._clock)
            if spec.identity_token is not None:
                return await self._identified(spec.identity_token)
            assert spec.command is not None
            return await run_command(self._argv(spec.command), self._clock, cwd=self._cwd, env=self._env)
        except (NetraLoopError, jwt.PyJWTError, LookupError, TypeError, ValueError) as error:
            raise Refused(None, str(error.args[0] if error.args else error)) from error

    async def _identified(self, spec: IdentityTokenAuth) -> Token:
        if self._identity is None:
            raise Refused(None, "nobody here gives identity tokens")
        return await self._identity(None if spec.audience is None else self._filled(spec.audience, "audience"))

    def _sign(self, spec: JwtAuth, secrets: list[str]) -> Token:
        secret = self._filled(spec.secret, "secret")
        secrets.append(secret)
        now = int(self._clock.now().timestamp())
        claims = {"iat": now, "exp": now + int(spec.ttl_s), "sub": self._filled(spec.subject, "subject")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a secret is short is the environment's choice, not ours
            text = jwt.encode({**claims, **self._render(dict(spec.claims))}, secret, algorithm="HS256")
        return Token(text, ttl_s=None if "exp" in spec.claims else spec.ttl_s)

    def _filled(self, value: str, name: str) -> str:
        text = str(self._render(value))
        if not text.strip():
            raise Refused(None, f"its {name} is empty, expected the value of {value}")
        return text

    def _life(self, token: Token) -> float:
        """Seconds from now that a token is good for: as it was told, else by the `exp` it carries, else 10 minutes; a
        year at most.
        """
        if token.ttl_s is not None:
            return min(max(0.0, token.ttl_s), _LONGEST_S)
        try:
            claims = jwt.decode(token.text, options={"verify_signature": False})
            return min(max(0.0, float(claims["exp"]) - self._clock.now().timestamp()), _LONGEST_S)
        except (jwt.PyJWTError, LookupError, TypeError, ValueError):
            return UNKNOWN_TTL_S


def _tell(on_try: OnTry | None, tried: AuthTried) -> None:
    if on_try is not None:
        on_try(tried)


def _safe(answer: str, secrets: Sequence[str]) -> str:
    """An answer on one line, at most 200 characters, without the secrets."""
    for secret in secrets:
        answer = answer.replace(secret, "***") if secret else answer
    line = " ".join(answer.split())
    return line if len(line) <= ANSWER_MAX else line[: ANSWER_MAX - 1] + "…"
