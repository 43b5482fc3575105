"""What failed in the field, in its own words, and what differs from run to run in them."""

from __future__ import annotations

import itertools
import random
import string
import uuid
from pathlib import Path

import pytest

from netra_loop.core.findings import Facts, make_findings
from netra_loop.core.records import Outcome
from netra_loop.core.signature import normalise

_LINES = (Path(__file__).parent / "data" / "field_failures.txt").read_text("utf-8").splitlines()
FAULTS = dict(line.split("\t", 1) for line in _LINES)
VARIANTS = 25  # of each: 500 in all
EVENTS = ["'agent_thinking'", "'tool_executing'", "'tool_completed'", "'agent_completed'"]
_SUFFIX = string.ascii_lowercase + string.digits


def variant(text: str, seed: int) -> str:
    rng = random.Random(seed)

    def some(most: int) -> int:  # of any length, and often what a code looks like
        return rng.choice(
            [rng.randint(0, most), rng.randint(400, 511), rng.randint(1000, 1015), rng.randint(4000, 4400)]
        )

    def hexadecimal(length: int) -> str:
        return "".join(rng.choices("0123456789abcdef", k=length - 2)) + "a1"

    when = f"2025-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return text.format(
        seconds=f"{rng.uniform(0, 999):.{rng.randint(1, 4)}f}",
        seconds2=f"{rng.uniform(0, 1):.3f}",
        seconds3=f"{rng.uniform(1, 9):.3f}",
        minutes=rng.randint(2, 90),
        ms=f"{some(90_000)} ms",
        n=some(99_999),
        user=f"staging-e2e-user-{rng.randint(1, 999):03}",
        uuid=uuid.UUID(int=rng.getrandbits(128)),
        hex=hexadecimal(32),
        hash=hexadecimal(16),
        sha=hexadecimal(rng.choice([7, 9, 12, 40])),
        addr=hex(rng.getrandbits(48)),
        ip=".".join(str(rng.randint(1, 255)) for _ in range(4)),
        port=rng.choice([4001, 4404, 8080, rng.randint(1024, 65_535)]),
        url=f"http://127.0.0.1:{rng.choice([4001, rng.randint(1024, 65_535)])}",
        time=f"{when}{rng.choice('T ')}{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z",
        revision=f"backend-{rng.randint(1, 99_999):05}-{''.join(rng.choices(_SUFFIX, k=rng.choice((3, 6))))}",
        tmp=rng.choice(
            [f"/tmp/pytest-of-ci/pytest-{seed}/x.json", f"/private/var/folders/q{seed}/T/tmp{seed}x/y.json"]
        ),
        windows=f"C:\\Users\\user{seed}\\AppData\\Local\\Temp\\{hexadecimal(8)}\\staging.env",
        events=", ".join(rng.sample(EVENTS, len(EVENTS))),
    )


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_one_signature_whatever_differs_from_run_to_run(name: str):
    assert len({normalise(variant(FAULTS[name], seed)) for seed in range(VARIANTS)}) == 1


def test_no_two_faults_share_a_signature():
    named = {name: {normalise(variant(text, seed)) for seed in range(VARIANTS)} for name, text in FAULTS.items()}
    for (one, left), (other, right) in itertools.combinations(named.items(), 2):
        assert left.isdisjoint(right), (one, other)


def test_a_failure_is_the_same_finding_whatever_differs_from_run_to_run(make):
    """What a test says makes its finding's id, and nothing else that is said in passing."""
    for name, text in FAULTS.items():
        ids = set()
        for seed in range(VARIANTS):
            outcome = Outcome.TIMEOUT if name == "timeout" else Outcome.FAILED
            (found,) = make_findings(
                Facts(iteration=1, results=[make.result(outcome=outcome, message=variant(text, seed))])
            )
            ids.add(found.id)
        assert len(ids) == 1, name


@pytest.mark.parametrize("number", ["404", "500", "1011", "4001"])
@pytest.mark.parametrize(
    "text",
    [
        "line {}: unexpected end",
        "port {}: refused",
        "localhost:{}: refused",
        "process {} (worker) died",
        "attempt {} Failed",
        "waited {} Seconds",
        "run {} - gone",
        "user_id={}: unknown",
        "/orders/{}: not there",
        "order-{} (new) is not there",
    ],
)
def test_a_number_that_only_looks_like_a_code_is_none(text: str, number: str):
    assert normalise(text.format(number)) == normalise(text.format(77))


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("HTTP {}", ("401", "403")),
        ("WebSocket {} Internal Error", ("1011", "1006")),
        ("Failed to get token: {} - no", ("401", "403")),
        ("closed with {} (internal error)", ("1011", "1012")),
        ("Client error '{} Not Found' for url", ("404", "410")),
        ("assert {} == 200", ("404", "500")),
        ("disconnect: {} (going away)", ("1001", "1011")),
        ("status_code={}", ("500", "503")),
    ],
)
def test_a_code_is_a_name(text: str, codes: tuple[str, str]):
    one, other = (normalise(text.format(code)) for code in codes)
    assert one != other
