"""Tests of what a doctor says of images, against a registry of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from netra_loop.doctor.base import Status
from netra_loop.doctor.images import image_lines, look
from tests.doctor.conftest import NOWHERE


class Registry:
    """Answers every HEAD with one status; keeps what was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[str] = []
        self.host = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.mark.parametrize(
    ("status", "told", "words"),
    [
        (200, Status.OK, "is there"),
        (404, Status.FAIL, "is not there"),
        (401, Status.FAIL, "may not be read by us"),
        (403, Status.FAIL, "may not be read by us"),
        (500, Status.WARN, "answers 500"),
    ],
)
async def test_each_answer_is_told_apart(registry, status, told, words):
    registry.status = status
    line = await look("image", f"{registry.host}/p/app/backend:1.2", "t-1", scheme="http")
    assert line.status is told
    assert words in line.detail
    assert registry.seen[0].startswith("HEAD /v2/p/app/backend/manifests/1.2 ")
    assert "authorization: Bearer t-1" in registry.seen[0]


async def test_a_digest_is_asked_for_by_itself(registry):
    digest = "sha256:" + "0" * 64
    await look("image", f"{registry.host}/p/backend@{digest}", "t-1", scheme="http")
    assert f"/manifests/{digest} " in registry.seen[0]


async def test_a_name_without_a_registry():
    assert (await look("image", "backend", "t-1")).status is Status.WARN


async def test_what_is_built_first_is_not_sought(subject):
    text = NOWHERE.replace("none", "google, project: p, region: r") + (
        "services:\n"
        "  built: {image: 'r-docker.pkg.dev/p/a:1', build: make}\n"
        "  later: {image: 'r-docker.pkg.dev/p/a:${session.id}-${git.sha}'}\n"
    )
    loop = subject(text).loop
    found = [line async for line in image_lines(loop, "t-1")]
    assert [line.status for line in found] == [Status.OK, Status.OK]
    assert "built and pushed" in found[0].detail
    assert "git.sha" in found[1].detail
