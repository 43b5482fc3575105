"""How the tests' interpreter is started: by itself, since that happens before much else is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from netra_loop.values import dataclass


@dataclass(frozen=True)
class PoolOptions:
    """How the tests' interpreter is started. Paths are absolute; `env` is the tests' whole environment.

    `timeout_s` bounds one test (setup, call and teardown together), `collect_timeout_s` the collection. Without
    `evidence` nothing is observed in the tests' processes, and every result's evidence is empty. The first worker is
    called `gw` and `first`, so that those of pools side by side do not take each other's place in what tests share.
    """

    python: Path
    root: Path
    paths: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workers: int = 16
    timeout_s: float = 120.0
    collect_timeout_s: float = 300.0
    isolation: str = "worker"
    testrun_uid: str = ""
    evidence: bool = True
    first: int = 0
