"""Tests of known truth, run by the command line against the demo service: each is to be called what it is."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).parent / "corpus"
PATIENCE_S = 110.0


@dataclass(frozen=True)
class Judged:
    """A test of the corpus: what is true of it, what netra-loop is known to say instead, and what it said."""

    id: str
    truth: str
    reason: str | None
    told: str | None
    said: dict[str, Any]

    @property
    def expected(self) -> str:
        return self.told or self.truth

    def holds(self) -> bool:
        if self.said["authenticity"] != self.expected:
            return False
        return self.told is not None or self.reason is None or self.reason in " ".join(self.said["reasons"])

    def __str__(self) -> str:
        said = f"{self.said['authenticity']:8} {'; '.join(self.said['reasons']) or self.said['message'] or ''}"
        mark = " " if self.holds() and not self.told else "~" if self.holds() else "!"
        return f"{mark} {self.truth:8} {said[:80]:80} {self.id}"


def judged(truths: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[Judged]:
    """`first`: of tests that share a fixture which asks, the one that ran first is real, and the others are fake."""
    told = {truth["id"]: truth for truth in truths}
    first: dict[str, str] = {}
    for result in sorted(results, key=lambda one: one["started_at"]):
        first.setdefault(result["id"].rpartition("::")[0], result["id"])
    rows = []
    for result in sorted(results, key=lambda one: one["id"]):
        truth = told[result["id"]]
        kind, reason, instead = truth["kind"], truth.get("reason"), truth.get("told")
        if kind == "first" and result["id"] in first.values():
            kind, reason, instead = "real", None, None
        rows.append(Judged(result["id"], "fake" if kind == "first" else kind, reason, instead, result))
    return rows


@pytest.fixture
def corpus(demo):
    """The demo's project with the corpus in it."""
    shutil.copytree(CORPUS, demo.folder / "loops" / "corpus", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (demo.folder / "loops" / "corpus" / "authenticity.yaml").rename(demo.folder / "loops" / "authenticity.yaml")
    return demo


def test_each_pass_is_called_what_it_is(corpus):
    truth = corpus.folder / "truth.jsonl"
    done = corpus.call("run", "authenticity", "--plain", "--var", f"truth={truth}", timeout_s=PATIENCE_S)
    assert done.returncode == 1, done.stderr
    rows = judged([json.loads(line) for line in truth.read_text().splitlines()], corpus.json("results", "latest"))
    table = "\n".join(map(str, rows))
    print(table)  # noqa: T201 - for pytest -s
    wrong = [row for row in rows if not row.holds()]
    assert wrong == [], f"\n{table}"
    counts = Counter(row.truth for row in rows)
    assert counts["real"] >= 30
    assert counts["fake"] >= 30
    assert counts["suspect"] >= 15
    turned = [row for row in rows if (row.truth, row.said["authenticity"]) in {("fake", "real"), ("real", "fake")}]
    assert turned == []
    assert corpus.status()["logs"]["complete"]
