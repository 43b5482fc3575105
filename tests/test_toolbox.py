"""Tests of the costly things a session shares."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from netra_loop.clock import SystemClock
from netra_loop.core.spec import (
    AuthSpec,
    BypassAuth,
    EnvironmentSpec,
    IdentityTokenAuth,
    JwtAuth,
    LoopSpec,
    PhaseSpec,
    ServiceSpec,
    TestsSpec,
)
from netra_loop.errors import UsageError
from netra_loop.execution.base import PoolOptions
from netra_loop.phases.scope import Scope
from netra_loop.settings import Settings
from netra_loop.toolbox import SessionTools, git_facts

TRACE = "0123456789abcdef" * 2


def loop(folder: Path, **more) -> LoopSpec:
    return LoopSpec(
        name="night",
        path=folder / "night.yaml",
        environments=more.pop("environments", {"here": EnvironmentSpec(cloud="none")}),
        phases=(PhaseSpec(name="select", uses="select"),),
        **more,
    )


def tools_of(folder: Path, spec: LoopSpec, **environ: str) -> SessionTools:
    return SessionTools("night-1", spec, "here", Settings(environ, None, False, folder), folder, SystemClock())


# --------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("more", "environ"),
    [
        ({}, {"MY_API_KEY": "open-sesame"}),
        ({"vars": {"db_password": "open-sesame"}}, {}),
        ({"vars": {"db_password": "${env.PW}"}}, {"PW": "open-sesame"}),
        ({"services": {"a": ServiceSpec(env={"JWT_SECRET": "${env.X:-open-sesame}"})}}, {}),
        ({"services": {"a": ServiceSpec(env={"DB_PASSWORD": "${vars.pw}"})}, "vars": {"pw": "open-sesame"}}, {}),
        ({"tests": TestsSpec(env={"TOKEN": "open-sesame"})}, {"TOKEN": "another-one"}),
        ({"tests": TestsSpec(env={"TOKEN": "another-one"})}, {"TOKEN": "open-sesame"}),
        ({"auth": (AuthSpec(jwt=JwtAuth(secret="${env.S}", subject="me")),)}, {"S": "open-sesame"}),
        ({"auth": (AuthSpec(bypass=BypassAuth(url="http://x", key="open-sesame")),)}, {}),
    ],
)
def test_what_is_named_a_secret_is_one_wherever_it_comes_from(tmp_path, more, environ):
    tools = tools_of(tmp_path, loop(tmp_path, **more), **environ)
    assert tools.redactor.text("say open-sesame twice") == "say [redacted] twice"


def test_what_is_not_known_yet_is_no_secret_and_no_error(tmp_path):
    env = {"KEY": "${env.NOWHERE}", "TOKEN": "${auth.token}", "SECRET": "${vars.nobody}"}
    tools = tools_of(tmp_path, loop(tmp_path, tests=TestsSpec(env=env)))
    assert tools.redactor.text("plain words") == "plain words"


async def test_a_token_is_a_secret_from_the_moment_it_is_known(tmp_path):
    spec = loop(tmp_path, auth=(AuthSpec(command=("echo", "tok-abcdefgh")),))
    tools = tools_of(tmp_path, spec, PATH=os.environ["PATH"])
    tried = []

    async def on_try(event):
        tried.append(event)

    scope = Scope(spec, "here", "night-1", 1, tools.environ)
    assert await tools.token(scope, on_try) == "tok-abcdefgh"
    assert tools.redactor.text("Bearer: tok-abcdefgh") == "Bearer: [redacted]"
    assert [(event.method, event.ok) for event in tried] == [("command", True)]


async def test_without_auth_there_is_no_token(tmp_path):
    spec = loop(tmp_path)
    tools = tools_of(tmp_path, spec)

    async def on_try(event):
        raise AssertionError(event)

    assert await tools.token(Scope(spec, "here", "night-1", 1, {}), on_try) is None


# ------------------------------------------------------------------------------------------------------ pool, cloud


async def test_equal_options_give_the_same_pool_and_others_another(tmp_path):
    tools = tools_of(tmp_path, loop(tmp_path))
    options = PoolOptions(python=Path("/usr/bin/python3"), root=tmp_path, paths=("tests",))
    first = await tools.pool(options)
    assert await tools.pool(replace(options)) is first
    assert await tools.pool(replace(options, env={"NETRA_LOOP_ITERATION": "2"})) is not first
    await tools.close()
    await tools.close()


async def test_a_renewed_pool_collects_what_a_file_says_now(tmp_path):
    tools = tools_of(tmp_path, loop(tmp_path))
    options = PoolOptions(python=Path(sys.executable), root=tmp_path, paths=("test_edited.py",), env=dict(os.environ))
    file = tmp_path / "test_edited.py"
    file.write_text("def test_before(): pass\n")
    first = await (await tools.pool(options)).collect()
    file.write_text("def test_after(): pass\n")
    await tools.renew_pool()
    second = await (await tools.pool(options)).collect()
    await tools.close()
    assert [test.id.rpartition("::")[2] for test in (*first.tests, *second.tests)] == ["test_before", "test_after"]


async def test_an_environment_without_a_cloud_has_none(tmp_path):
    assert await tools_of(tmp_path, loop(tmp_path)).cloud() is None


@pytest.mark.parametrize(
    ("environment", "lacks"),
    [
        ({"region": "europe-west1"}, "project"),
        ({"project": "${env.PROJECT:-}", "region": "europe-west1"}, "project"),
        ({"project": "acme"}, "region"),
    ],
)
async def test_google_without_a_place_to_deploy_to_names_what_is_missing(tmp_path, environment, lacks):
    spec = loop(tmp_path, environments={"here": EnvironmentSpec(cloud="google", **environment)})
    with pytest.raises(UsageError, match=f"names no {lacks}") as caught:
        await tools_of(tmp_path, spec).cloud()
    assert f"{lacks}: …" in str(caught.value.hint)


async def test_an_endpoint_is_asked_without_a_server_of_our_own(tmp_path):
    environment = EnvironmentSpec(cloud="google", endpoint="unix:${env.WHERE}/cloud.sock")
    tools = tools_of(tmp_path, loop(tmp_path, environments={"here": environment}), WHERE=str(tmp_path))
    assert await tools.cloud() is not None
    assert not (tmp_path / "cloud").exists()
    await tools.close()


async def test_a_wait_of_the_cloud_is_told_on_without_its_secrets(tmp_path):
    tools = tools_of(tmp_path, loop(tmp_path), API_KEY="open-sesame")
    told = []

    async def on_wait(why, seconds):
        told.append((why, seconds))

    await tools.waited("nobody is told yet", 1.0)
    tools.on_wait = on_wait
    await tools.waited("429 for open-sesame", 2.0)
    assert told == [("429 for [redacted]", 2.0)]


# ---------------------------------------------------------------------------------------------------- marked request


@asynccontextmanager
async def server(answer):
    """An HTTP server on the loopback; `answer` writes whatever it likes. Gives its URL and the requests' heads."""
    heads: list[str] = []

    async def serve(reader, writer):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        try:
            await answer(writer)
        except ConnectionError:
            heads.append("gone")
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heads


async def test_the_marked_request_carries_its_trace(tmp_path):
    async def unavailable(writer):
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    async with server(unavailable) as (url, heads):
        assert await tools_of(tmp_path, loop(tmp_path)).request(f"{url}/health", TRACE) == 503
    assert heads[0].startswith("GET /health ")
    assert f"traceparent: 00-{TRACE}-" in heads[0]


async def test_an_endless_answer_is_not_waited_for(tmp_path):
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(b"this is no gzip\n" * 1000)
            await writer.drain()

    async with server(endless) as (url, _):
        assert await tools_of(tmp_path, loop(tmp_path)).request(url, TRACE) == 200


async def test_a_protected_service_is_asked_with_its_token(tmp_path):
    async def answer(writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with server(answer) as (url, heads):
        assert await tools_of(tmp_path, loop(tmp_path)).request(url, TRACE, "ey.token") == 200
    assert "authorization: bearer ey.token" in heads[0].lower()


async def test_nobody_there_is_an_answer_too(tmp_path):
    assert await tools_of(tmp_path, loop(tmp_path)).request("http://127.0.0.1:9/", TRACE) is None


# ------------------------------------------------------------------------------------------------------------- git


async def test_the_repository_is_known_by_its_commit(tmp_path):
    def git(*words: str) -> str:
        named = ("-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgsign=false")
        return subprocess.check_output(["git", "-C", str(tmp_path), *named, *words], text=True).strip()

    git("init", "-q", "-b", "trunk")
    assert await git_facts(tmp_path) == {}
    git("commit", "-q", "--allow-empty", "-m", "first")
    facts = await git_facts(tmp_path)
    assert facts["sha"] == git("rev-parse", "HEAD")
    assert facts["sha"].startswith(facts["short_sha"])
    assert facts["branch"] == "trunk"


async def test_without_a_repository_nothing_is_known(tmp_path):
    assert await git_facts(tmp_path) == {}
    assert await git_facts(tmp_path / "nowhere") == {}


async def test_a_commit_that_somebody_made_in_place_is_what_git_stands_for(tmp_path):
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@x", *words], cwd=tmp_path, check=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x")
    tools = tools_of(tmp_path, loop(tmp_path))
    tools.git = before = await git_facts(tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "y")
    await tools.renew_pool()
    assert tools.git == await git_facts(tmp_path) != before


# ------------------------------------------------------------------------------------------------- identity tokens


async def test_the_embedded_cloud_gives_identity_tokens_without_anything_set(tmp_path):
    spec = loop(
        tmp_path,
        environments={"here": EnvironmentSpec()},
        auth=(AuthSpec(identity_token=IdentityTokenAuth(audience="https://backend.example")),),
    )
    tools = tools_of(tmp_path, spec, PATH=os.environ["PATH"])
    tried = []

    async def on_try(event):
        tried.append(event)

    try:
        token = await tools.token(Scope(spec, "here", "night-1", 1, tools.environ), on_try)
        life = tools.token_life()
    finally:
        await tools.close()
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "https://backend.example"
    assert life.whole_s == pytest.approx(3600, abs=60)
    assert token not in repr(tried)


async def test_an_identity_token_is_for_the_first_service_where_the_loop_names_nobody(tmp_path):
    way = (AuthSpec(identity_token=IdentityTokenAuth()),)
    spec = loop(tmp_path, auth=way, services={"a": ServiceSpec(url="http://127.0.0.1:9")})
    metadata = await asyncio.start_server(_answer_the_audience, "127.0.0.1", 0)
    host = f"127.0.0.1:{metadata.sockets[0].getsockname()[1]}"
    tools = tools_of(tmp_path, spec, GCE_METADATA_HOST=host)

    async def on_try(_):
        pass

    async with metadata:
        assert await tools.token(Scope(spec, "here", "night-1", 1, {}), on_try) == "http%3A%2F%2F127.0.0.1%3A9"


async def _answer_the_audience(reader, writer):
    asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
    told = asked.partition("audience=")[2].partition("&")[0]
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(told)}\r\nconnection: close\r\n\r\n{told}".encode())
    writer.close()
