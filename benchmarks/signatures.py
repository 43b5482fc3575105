"""Signatures of failures, and what a plain normaliser takes for the same texts.

    python benchmarks/signatures.py

The texts are what end-to-end suites fail with, a thousand variants of each. The peer replaces numbers, ids and times by
one expression each, as a person would write it, and knows neither codes nor counts. CPU time of one process.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable

from netra_loop.core.records import Symptom
from netra_loop.core.signature import finding_id, signature

_TEXTS = (
    "websockets.exceptions.ConnectionClosedError: received 1011 (internal error) Internal error; then sent 1011",
    "closed with 1006 after {n}.{n}s on ws://127.0.0.1:{n}/ws",
    "TimeoutError: no event after {n}.5 s for user staging-e2e-user-{n} in run {h}",
    "Client error '404 Not Found' for url 'http://10.0.{n}.1:{n}/api/agents/{h}/run?trace={h}'",
    "AttributeError: 'NoneType' object has no attribute 'create' at agent_service_core.py:{n}",
    "RuntimeError: session {h} of user{n}@netra.example expired at 2025-09-1{d}T10:0{d}:17.{n}Z",
    "OSError: cannot write /tmp/pytest-of-ci/pytest-{n}/x.json line {n}",
    "assert {n} == {n}",
)
_TARGET = 30_000
_VARIANTS = 1000
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?")
_ID = re.compile(r"\b[0-9a-f]{16,}\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _plain(text: str) -> str:
    short = _NUMBER.sub("<n>", _ID.sub("<id>", _TIME.sub("<time>", text)))
    return hashlib.sha256(short.encode()).hexdigest()[:6]


def _ours(text: str) -> str:
    return finding_id(signature(Symptom.EXCEPTION, text, None, "agent_started"))


def _per_second(name: Callable[[str], str], texts: list[str]) -> tuple[float, int]:
    begun = time.process_time()
    names = {name(text) for text in texts}
    return len(texts) / (time.process_time() - begun), len(names)


def main() -> None:
    """Prints the line."""
    texts = [
        text.format(n=20_000 + number, d=number % 10, h=f"a{number * 7919:023x}")  # no n is a status code
        for number in range(_VARIANTS)
        for text in _TEXTS
    ]
    (ours, names), (plain, others) = (_per_second(name, texts) for name in (_ours, _plain))
    print(
        f"signatures: {len(texts)} failures of {len(_TEXTS)} faults: "
        f"{ours:,.0f}/s (target {_TARGET:,}), {names} names; "
        f"a plain normaliser {plain:,.0f}/s, {others} names; ratio {plain / ours:.2f}"
    )


if __name__ == "__main__":
    main()
