"""Tests of the examination as a whole."""

from __future__ import annotations

import asyncio

import pytest

from netra_loop.doctor import examination
from netra_loop.doctor.base import Status, ok, warn
from netra_loop.doctor.examination import examine
from netra_loop.errors import LoopFileError, UsageError
from tests.doctor.conftest import NOWHERE, settings, written


async def test_without_a_loop_the_machine_and_the_store_are_looked_at(tmp_path):
    found = [line async for line in examine(settings(tmp_path))]
    assert {"interpreter", "git", "processes", "terminal", "store"} <= {line.check for line in found}
    assert not list(tmp_path.iterdir())


async def test_a_loop_on_the_embedded_cloud(tmp_path):
    written(tmp_path, "environments: {here: {cloud: embedded}}\nauth: [{identity_token: {}}]\n")
    found = {line.check: line for line in [line async for line in examine(settings(tmp_path), "night")]}
    assert found["cloud"].status is Status.OK
    assert found["auth 1 (identity_token)"].status is Status.OK
    assert not (tmp_path / ".netra-loop").exists()


async def test_a_loop_file_that_is_wrong_is_not_looked_at(tmp_path):
    written(tmp_path, NOWHERE + "servcies: {}\n")
    with pytest.raises(LoopFileError):
        _ = [line async for line in examine(settings(tmp_path), "night")]
    written(tmp_path, NOWHERE)
    with pytest.raises(UsageError, match="is no environment"):
        _ = [line async for line in examine(settings(tmp_path), "night", "mars")]


async def test_a_check_without_an_end_is_told_beside_what_it_found(tmp_path, monkeypatch):
    async def stuck(_):
        yield ok("stuck", "so far")
        await asyncio.Event().wait()

    monkeypatch.setattr(examination, "LIMIT_S", 0.05)
    monkeypatch.setattr(examination, "CHECKS", {"stuck": stuck})
    found = [line async for line in examine(settings(tmp_path))]
    assert [line.status for line in found] == [Status.OK, Status.FAIL]
    assert "no answer within" in found[1].detail


async def test_clocks_are_told_of_once_and_whoever_agrees_is_right(tmp_path, monkeypatch):
    async def wrong(_):
        yield warn("clock", "9 s ahead")

    async def right(_):
        yield ok("clock", "agrees")
        yield ok("else", "too")

    monkeypatch.setattr(examination, "CHECKS", {"wrong": wrong, "right": right})
    assert [line.detail async for line in examine(settings(tmp_path))] == ["too", "agrees"]


async def test_secrets_are_not_shown(tmp_path, unused_tcp_port):
    written(
        tmp_path, NOWHERE + f"auth: [{{bypass: {{url: 'http://127.0.0.1:{unused_tcp_port}/', key: '${{env.K}}'}}}}]\n"
    )
    found = [line async for line in examine(settings(tmp_path, K="open-sesame"), "night")]
    assert "open-sesame" not in repr(found)
