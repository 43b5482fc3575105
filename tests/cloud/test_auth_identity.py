"""Tests of Google's identity token: who is asked for it, and what is told where nobody gives one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from netra_loop.clock import SystemClock
from netra_loop.cloud.auth_identity import ask_identity, in_thread
from netra_loop.cloud.auth_ways import Refused
from netra_loop.core.redact import Redactor

AUDIENCE = "https://backend.example.run.app"


class Google:
    """A metadata server and a token endpoint in one; keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = "t-1"
        self.seen: list[tuple[str, str]] = []
        self.host = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
        self.seen.append((head, (await reader.readexactly(length)).decode()))
        data = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.body)}\r\nconnection: close\r\n\r\n{self.body}"
        writer.write(data.encode())
        writer.close()


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    made = Google()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """google-auth finds no account, and looks for no metadata server."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")


def gcloud(folder: Path, *lines: str) -> dict[str, str]:
    """An environment whose gcloud does this."""
    program = folder / "gcloud"
    program.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


async def ask(env: dict[str, str]):
    return await ask_identity(AUDIENCE, SystemClock(), env)


async def test_a_metadata_server_that_the_environment_names(google: Google) -> None:
    token = await ask({"GCE_METADATA_HOST": google.host})
    assert (token.text, token.status) == ("t-1", 200)
    head = google.seen[0][0]
    assert "metadata-flavor: google" in head.lower()
    assert parse_qs(head.split()[1].partition("?")[2])["audience"] == [AUDIENCE]


async def test_a_metadata_server_that_refuses(google: Google) -> None:
    google.status, google.body = 404, "no such account"
    with pytest.raises(Refused, match="no such account") as refused:
        await ask({"GCE_METADATA_HOST": google.host})
    assert refused.value.status == 404


async def test_a_metadata_server_that_is_not_there(unused_tcp_port: int) -> None:
    with pytest.raises(Refused, match="cannot be reached"):
        await ask({"GCE_METADATA_HOST": f"127.0.0.1:{unused_tcp_port}"})


async def test_a_service_account_signs_for_itself(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.body = json.dumps({"id_token": jwt.encode({"exp": 4_000_000_000}, "x" * 32), "token_type": "Bearer"})
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file(tmp_path, f"http://{google.host}/token")))
    token = await ask({"PATH": ""})
    assert jwt.decode(token.text, options={"verify_signature": False})["exp"] == 4_000_000_000
    assertion = parse_qs(google.seen[0][1])["assertion"][0]
    assert jwt.decode(assertion, options={"verify_signature": False})["target_audience"] == AUDIENCE


async def test_a_service_account_that_is_refused(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.status, google.body = 400, '{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file(tmp_path, f"http://{google.host}/token")))
    with pytest.raises(Refused, match="Invalid JWT Signature"):
        await ask({"PATH": ""})


@pytest.mark.usefixtures("nobody")
async def test_a_person_has_theirs_from_gcloud(tmp_path: Path) -> None:
    token = await ask(gcloud(tmp_path, 'test "$*" = "auth print-identity-token --quiet" && echo t-2'))
    assert (token.text, token.by) == ("t-2", "gcloud")


@pytest.mark.usefixtures("nobody")
async def test_a_gcloud_without_login_is_told_with_where_else_was_looked(tmp_path: Path) -> None:
    env = gcloud(
        tmp_path,
        'echo "ERROR: (gcloud.auth) You do not currently have an active account selected." >&2',
        'echo "to select an already authenticated account to use." >&2; exit 1',
    )
    with pytest.raises(Refused, match="active account") as refused:
        await ask(env)
    told = refused.value.answer
    assert "GOOGLE_APPLICATION_CREDENTIALS path is either not found" in told
    assert "exit code 1: ERROR" in Redactor().text(told)


@pytest.mark.usefixtures("nobody")
async def test_nobody_at_all(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="gcloud is not installed"):
        await ask({"PATH": str(tmp_path)})


async def test_what_is_done_in_a_thread_comes_back_whole() -> None:
    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


def key_file(folder: Path, token_uri: str) -> Path:
    """The key of a service account whose tokens are made at `token_uri`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    path = folder / "key.json"
    account = {"type": "service_account", "client_email": "ci@demo.iam.gserviceaccount.com", "private_key": pem}
    path.write_text(json.dumps({**account, "token_uri": token_uri, "private_key_id": "k"}))
    return path
