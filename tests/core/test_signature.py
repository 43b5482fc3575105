from __future__ import annotations

import itertools
import random
import string
import uuid

import pytest

from netra_loop.core.records import RootCause, Symptom
from netra_loop.core.signature import MAX_LENGTH, finding_id, normalise, signature

# one line for each fault of the field, with holes for what differs from run to run
FAULTS = [
    "websockets.exceptions.ConnectionClosedError: received 1011 (internal error) Internal error; then sent 1011",
    "websockets.exceptions.ConnectionClosedError: no close frame received or sent",
    "closed with 1006 after {seconds}s on {url}",
    "TimeoutError: no event after {seconds} s for user staging-e2e-user-{n} in run {hex}",
    "Client error '404 Not Found' for url 'http://{ip}:{port}/api/agents/{uuid}/run?trace={hex}'",
    "Client error '401 Unauthorized' for url 'http://{ip}:{port}/api/agents/{uuid}/run?trace={hex}'",
    "Server error '500 Internal Server Error' for url 'http://{ip}:{port}/api/agents/{uuid}/run'",
    'Failed to get test token: 401 - {{"detail":"Invalid E2E bypass key"}}',
    "server rejected WebSocket connection: HTTP 403",
    "server rejected WebSocket connection: HTTP 503",
    "assert 404 == 200",
    "assert 500 == 200",
    "assert {count} == {count}",
    "AttributeError: 'NoneType' object has no attribute 'create' at agent_service_core.py:{n}",
    "AttributeError: 'NoneType' object has no attribute 'emit' at agent_service_core.py:{n}",
    "KeyError: 'thread_id' in <Orchestrator object at {addr}>",
    "RuntimeError: session {uuid} of {email} expired at {time}",
    "OSError: cannot write {tmp} line {n}",
    "ConnectionRefusedError: [Errno 111] Connect call failed ('{ip}', {port})",
    "response took {seconds}s, more than {n} ms",
]


def filled(template: str, seed: int) -> str:
    rng = random.Random(seed)
    digits = "".join(rng.choices(string.digits, k=rng.randint(1, 7)))
    return template.format(
        seconds=f"{rng.uniform(0, 200):.2f}",
        n=rng.randint(1, 99_999),
        count=rng.choice([1, 17, 23, 99, 5000, 123_456]),
        hex=f"a{rng.getrandbits(64):016x}1",
        uuid=uuid.UUID(int=rng.getrandbits(128)),
        ip=".".join(str(rng.randint(1, 255)) for _ in range(4)),
        port=rng.randint(1024, 65_535),
        addr=hex(rng.getrandbits(48)),
        time=f"2025-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T1{rng.randint(0, 9)}:0{rng.randint(0, 9)}:17.{digits}Z",
        tmp=f"/tmp/pytest-of-ci/pytest-{digits}/x.json",
        email=f"user{digits}@netra.example",
        url=f"ws://127.0.0.1:{rng.randint(1024, 65_535)}/ws",
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_keeps_its_signature_over_all_its_variants(fault: str):
    assert len({normalise(filled(fault, seed)) for seed in range(40)}) == 1


def test_different_faults_have_different_signatures():
    names = [normalise(filled(fault, 7)) for fault in FAULTS]
    for (one, left), (other, right) in itertools.combinations(zip(FAULTS, names, strict=True), 2):
        assert left != right, (one, other)


def test_codes_are_names_and_counts_are_not():
    assert normalise("got 404 from /x") != normalise("got 500 from /x")
    assert normalise("got 404 items") == normalise("got 17 items")
    assert normalise("sent 1011, waited 404 ms") == normalise("sent 1011, waited 12 ms")


def test_lists_of_any_length_are_one():
    assert normalise("ids [1, 2, 3]") == normalise("ids [10, 20, 30, 40]")


def test_a_long_or_many_line_text_is_one_bounded_line():
    assert normalise("a\n\n  b\tc") == "a b c"
    assert len(normalise("word " * 100_000)) <= MAX_LENGTH


def test_a_root_cause_names_the_finding_by_itself_and_survives_shifted_lines():
    def root(line: int, message: str = "'NoneType' object has no attribute 'create'") -> RootCause:
        return RootCause("agent_backend/agent_service_core.py", line, "_execute", "AttributeError", message, 3)

    first = signature(Symptom.WEBSOCKET_CLOSE, "closed with 1011", root(544), "agent_started")
    assert first == signature(Symptom.TIMEOUT, "no event", root(561), None)
    assert first != signature(Symptom.TIMEOUT, "no event", root(544, "another message"))


def test_how_far_the_run_got_is_part_of_the_name():
    assert signature(Symptom.TIMEOUT, "x", stage="agent_started") != signature(Symptom.TIMEOUT, "x", stage="connected")


def test_an_id_is_short_and_follows_from_the_signature():
    assert finding_id("a") == finding_id("a") != finding_id("b")
    assert len(finding_id("a")) == len("F-") + 6
