"""Tests of the one boundary where errors end."""

from __future__ import annotations

import tempfile
from pathlib import Path

from netra_loop.cli import boundary


def test_what_a_defect_leaves_and_says_holds_no_secret(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:pa55-w0rd-1@db/x")
    monkeypatch.setenv("MY_API_KEY", "open-sesame-1")
    monkeypatch.setenv("DB_PWD", "backend")
    assert boundary._defect(RuntimeError("backend refused pa55-w0rd-1 and open-sesame-1, DB_PWD=backend")) == 4
    (left,) = tmp_path.glob("netra-loop-defect-*.txt")
    for said in (left.read_text(), capsys.readouterr().err):
        assert "backend refused [redacted] and [redacted], DB_PWD=[redacted]" in said
    assert Path(left).stat().st_mode & 0o777 == 0o600
