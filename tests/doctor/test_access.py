"""Tests of what a doctor says of the ways to a token."""

from __future__ import annotations

import sys

from netra_loop.doctor.access import tokens
from netra_loop.doctor.base import Status
from tests.doctor.conftest import NOWHERE, lines

JWT = '  - jwt: {secret: "${env.SIGNING:-}", subject: me}\n'


async def test_a_way_that_works(subject):
    (line,) = await lines(tokens, subject(NOWHERE + "auth:\n" + JWT, SIGNING="hush-hush-hush-hush-hush-hush-hush"))
    assert (line.status, line.check, line.detail) == (Status.OK, "auth 1 (jwt)", "good for 3600 s")


async def test_no_way_works(subject, unused_tcp_port):
    door = f"  - bypass: {{url: 'http://127.0.0.1:{unused_tcp_port}/', key: k}}\n"
    found = await lines(tokens, subject(NOWHERE + "auth:\n" + door + JWT))
    assert [line.status for line in found] == [Status.FAIL, Status.FAIL]
    assert "cannot be reached" in found[0].detail
    assert all(line.mend for line in found)


async def test_a_way_that_fails_beside_one_that_works_is_a_warning(subject):
    found = await lines(tokens, subject(NOWHERE + "auth:\n" + JWT + f"  - command: [{sys.executable}, -c, '1/0']\n"))
    assert [line.status for line in found] == [Status.WARN, Status.OK]
    assert "it was not run" in found[1].detail


async def test_a_command_that_is_not_there(subject):
    (line,) = await lines(tokens, subject(NOWHERE + "auth: [{command: [no-such-program]}]\n"))
    assert (line.status, line.detail) == (Status.FAIL, "there is no 'no-such-program'")


async def test_a_service_that_a_session_is_yet_to_deploy_cannot_be_asked_and_that_fails_nothing(subject):
    door = "auth: [{bypass: {url: '${services.backend.url}/token', key: k}}]\n"
    service = "services: {backend: {command: [serve]}}\n"
    (line,) = await lines(tokens, subject(NOWHERE.replace("cloud: none", "cloud: embedded") + service + door))
    assert (line.status, line.mend) == (Status.WARN, "nothing yet: a session asks once it has deployed the service")
