from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest

from netra_loop.clock import SystemClock
from netra_loop.cloud.auth import TokenSource
from netra_loop.cloud.auth_ways import Token
from netra_loop.core import template
from netra_loop.core.events import AuthTried
from netra_loop.core.spec import AuthSpec, BypassAuth, Command, IdentityTokenAuth, JwtAuth
from netra_loop.errors import AuthFailed, EnvironmentFailed, UsageError

VALUES = {"env.KEY": "k-123", "env.SECRET": "hush", "vars.user": "o'neil; $(exit 9)"}


class SteppedClock(SystemClock):
    """Time that also goes on by hand; seconds pass a hundred times faster, but by the wall clock."""

    ahead_s = 0.0

    def now(self):
        return super().now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return super().monotonic() * 100 + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


def render(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: render(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value

    def known(found: re.Match[str]) -> str:
        if found[1] not in VALUES:
            raise ValueError(f"{found[1]} is not set")
        return VALUES[found[1]]

    return re.sub(r"\$\{([^}]*)\}", known, value).replace("$$", "$")


class Door:
    """An auth server that answers as told, and keeps the requests it saw."""

    def __init__(self) -> None:
        self.answer: tuple[int, str, dict[str, str]] | None = (200, "", {})
        self.seen: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.search(r"content-length: (\d+)", head.lower())[1])
        self.seen.append(head + (await reader.readexactly(length)).decode())
        if self.answer is None:
            await reader.read()
        else:
            status, body, headers = self.answer
            more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            data = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{more}\r\n{body}"
            writer.write(data.encode())
        writer.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with await asyncio.start_server(door.serve, "127.0.0.1", 0) as server:
        door.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/e2e/token"
        yield door


def argv(command: Command) -> tuple[str, ...]:
    def lookup(name: str) -> str:
        return str(render("${" + name + "}"))

    if isinstance(command, str):
        return ("sh", "-c", template.render_shell(command, lookup))
    return tuple(render(word) for word in command)


def source(*specs: AuthSpec, clock: SystemClock | None = None) -> TokenSource:
    return TokenSource(specs, render, argv, clock or SteppedClock())


def bypass(door: Door, key: str = "${env.KEY}") -> AuthSpec:
    return AuthSpec(bypass=BypassAuth(url=door.url, key=key))


def signed(ttl_s: float = 3600, **claims: Any) -> AuthSpec:
    return AuthSpec(jwt=JwtAuth(secret="${env.SECRET}", subject="${vars.user}", ttl_s=ttl_s, claims=claims))


def command(*words: str) -> AuthSpec:
    return AuthSpec(command=words)


# ------------------------------------------------------------------------------------------------ each way


@pytest.mark.filterwarnings("ignore:The HMAC key")
async def test_jwt_is_signed_with_its_claims() -> None:
    token = await source(signed(600, permissions=["agent_execution"], user="${vars.user}")).token()
    claims = jwt.decode(token, "hush", algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 600
    assert claims["sub"] == claims["user"] == VALUES["vars.user"]
    assert claims["permissions"] == ["agent_execution"]


@pytest.mark.parametrize("body", ['{"token": "t-1"}', '{"access_token": "t-1", "expires_in": 90}', "t-1\n", '"t-1"'])
async def test_bypass_takes_each_kind_of_answer(door: Door, body: str) -> None:
    door.answer = (201, body, {})
    assert await source(bypass(door)).token() == "t-1"
    (request,) = door.seen
    assert request.startswith("POST /e2e/token")
    assert "x-e2e-bypass-key: k-123" in request.lower()
    assert json.loads(request.partition("\r\n\r\n")[2]) == {"key": "k-123"}


async def test_a_command_without_a_shell() -> None:
    assert await source(command(sys.executable, "-c", "print(' t-2 ')")).token() == "t-2"


async def test_a_command_under_sh_executes_no_value() -> None:
    script = "import sys; print(len(sys.argv[1]))"
    spec = AuthSpec(command=f'x=1; {sys.executable} -c "{script}" ${{vars.user}} && test "$$x" = 1')
    assert await source(spec).token() == str(len(VALUES["vars.user"]))


# ------------------------------------------------------------------------------------------------ the chain


async def test_the_first_that_works_ends_the_chain_and_each_try_is_told(door: Door) -> None:
    door.answer = (401, '{"detail": "Invalid E2E bypass key k-123"}', {})
    tried: list[AuthTried] = []
    await source(bypass(door), signed(), command("false")).token(tried.append)
    assert [(t.method, t.ok, t.status) for t in tried] == [("bypass", False, 401), ("jwt", True, None)]
    assert tried[0].answer == "Invalid E2E bypass key ***"
    assert tried[1].answer == "good for 3600 s"


async def test_an_exhausted_chain_names_each_way_and_its_answer(door: Door) -> None:
    door.answer = (401, "Invalid E2E bypass key\n", {})
    chain = source(
        bypass(door),
        AuthSpec(jwt=JwtAuth(secret="${env.MISSING}", subject="x")),
        command(sys.executable, "-c", "import sys; sys.exit('no\\ncredentials')"),
        command("/nowhere/gcloud"),
    )
    with pytest.raises(EnvironmentFailed) as failed:
        await chain.token()
    assert str(failed.value) == (
        "no way to a token worked: bypass: 401 Invalid E2E bypass key; jwt: env.MISSING is not set; "
        "command: exit code 1: credentials; command: cannot start '/nowhere/gcloud': No such file or directory"
    )
    assert failed.value.exit_code == 3


async def test_no_chain_at_all_is_the_loop_files_mistake() -> None:
    with pytest.raises(UsageError):
        await source().token()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, '{"user": "x"}', {}), "no token in the answer, only user"),
        ((200, "", {}), "an empty answer, expected a token"),
        ((200, "<html>Sign in</html>", {}), "20 characters that are no token, expected one word"),
        ((302, "", {"location": "http://evil.example/"}), "redirected to http://evil.example/, which is not followed"),
        ((302, "nowhere", {}), "nowhere"),
        ((500, "x" * 500, {}), "x" * 199 + "…"),
        (None, "gave no answer within 30 s"),
    ],
)
async def test_answers_without_a_token(door: Door, answer: Any, told: str) -> None:
    door.answer = answer
    tried: list[AuthTried] = []
    with pytest.raises(EnvironmentFailed):
        await source(bypass(door)).token(tried.append)
    assert tried[0].answer.endswith(told)
    assert tried[0].status == (answer[0] if answer else None)


async def test_an_empty_key_is_not_sent(door: Door) -> None:
    with pytest.raises(EnvironmentFailed, match="its key is empty"):
        await source(bypass(door, key="")).token()
    assert door.seen == []


async def test_nobody_there(unused_tcp_port: int) -> None:
    spec = AuthSpec(bypass=BypassAuth(url=f"http://127.0.0.1:{unused_tcp_port}/", key="k"))
    with pytest.raises(EnvironmentFailed, match=f"127.0.0.1:{unused_tcp_port} cannot be reached"):
        await source(spec).token()


async def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(EnvironmentFailed, match="did not end within 30 s"):
        await source(command(sys.executable, "-c", "import time; time.sleep(60)")).token()


# ------------------------------------------------------------------------------------------------ kept and renewed


@pytest.mark.parametrize(("ttl_s", "kept_s", "renewed_s"), [(3600, 3530, 3545), (100, 45, 55), (60, 25, 35)])
async def test_a_token_is_renewed_before_it_expires(ttl_s: float, kept_s: float, renewed_s: float) -> None:
    clock, tried = SteppedClock(), []
    tokens = source(signed(ttl_s), clock=clock)
    first = await tokens.token(tried.append)
    clock.ahead_s = kept_s
    assert await tokens.token(tried.append) == first
    clock.ahead_s = renewed_s
    assert await tokens.token(tried.append) != first
    assert len(tried) == 2


async def test_many_callers_ask_once(door: Door) -> None:
    door.answer = (200, '{"token": "t", "expires_in": 3600}', {})
    tokens = source(bypass(door))
    assert set(await asyncio.gather(*(tokens.token() for _ in range(10)))) == {"t"}
    assert len(door.seen) == 1
    tokens.forget()
    await tokens.token()
    assert len(door.seen) == 2


# ------------------------------------------------------------------------------------------------ near its end


async def test_who_needs_it_longer_gets_another_sooner() -> None:
    clock = SteppedClock()
    tokens = source(signed(3600), clock=clock)
    first = await tokens.token()
    clock.ahead_s = 3200
    assert await tokens.token(good_for_s=300) == first
    assert await tokens.token(good_for_s=420) != first


async def test_a_token_that_cannot_be_renewed_is_given_while_it_lives(door: Door) -> None:
    door.answer = (200, '{"token": "t-1", "expires_in": 100}', {})
    clock, tried = SteppedClock(), []
    tokens = source(bypass(door), clock=clock)
    await tokens.token()
    door.answer = (503, "down", {})
    clock.ahead_s = 60
    assert await tokens.token(tried.append) == "t-1"
    life = tokens.life()
    assert life is not None
    assert life.trouble is not None
    assert life.trouble.answers == ("bypass: 503 down",)
    assert 0 < life.left_s <= 40
    assert [attempt.status for attempt in tried] == [503]
    clock.ahead_s = 101
    with pytest.raises(AuthFailed, match="503 down"):
        await tokens.token()


async def test_trouble_is_over_with_the_next_token(door: Door) -> None:
    door.answer = (200, '{"token": "t-1", "expires_in": 100}', {})
    clock = SteppedClock()
    tokens = source(bypass(door), clock=clock)
    await tokens.token()
    clock.ahead_s, door.answer = 60, (503, "down", {})
    await tokens.token()
    door.answer = (200, '{"token": "t-2", "expires_in": 100}', {})
    assert await tokens.token() == "t-2"
    life = tokens.life()
    assert life is not None
    assert life.trouble is None


async def test_an_identity_token_is_asked_for_an_audience() -> None:
    asked, tried = [], []

    async def identity(audience: str | None) -> Token:
        asked.append(audience)
        return Token("t-3", ttl_s=3600, status=200, by="somebody")

    for audience in (None, "https://${env.KEY}"):
        spec = AuthSpec(identity_token=IdentityTokenAuth(audience=audience))
        tokens = TokenSource([spec], render, argv, SteppedClock(), identity=identity)
        assert await tokens.token(tried.append) == "t-3"
    assert asked == [None, "https://k-123"]
    assert {(one.method, one.status, one.answer) for one in tried} == {
        ("identity_token", 200, "good for 3600 s, by somebody")
    }
