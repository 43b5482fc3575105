"""Tests of how an owner learns that its server has ended: at once, from the kernel."""

from __future__ import annotations

import asyncio
import os

import pytest

from netra_loop.cloud.embedded.vital import Vital


@pytest.fixture
async def vital():
    made = Vital()
    yield made
    made.close()


async def test_it_lasts_while_the_server_holds_it(vital):
    assert not vital.is_over()
    vital.close_inlet()
    assert vital.is_over()  # before this loop has heard of it
    await vital.over()


async def test_what_else_the_server_prints_neither_ends_it_nor_stops_the_server(vital):
    for _ in range(4):
        await asyncio.to_thread(os.write, vital.inlet, b"x" * 65_536)  # as much as a pipe takes
    assert not vital.is_over()
    vital.close_inlet()


async def test_the_first_line_is_told(vital):
    os.write(vital.inlet, b'{"endpoint": "unix:/s"}\nmore\n')
    assert await vital.line() == b'{"endpoint": "unix:/s"}'
    vital.close_inlet()


async def test_a_server_that_ends_without_a_word_is_waited_for_no_longer(vital):
    vital.close_inlet()
    assert await vital.line() == b""
