"""What a killed orchestrator leaves in the temporary folder goes at the next start, and nothing else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

from netra_loop.execution import pool_folder
from netra_loop.processes import identify

_MAKE_AND_DIE = """
import os, signal
from netra_loop.execution import pool_folder
print(pool_folder.make(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_process_is_removed_at_the_next_start(tmp_path, monkeypatch):
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", _MAKE_AND_DIE], env=environ, capture_output=True, text=True, check=False
    )
    left = tmp_path / run.stdout.strip()
    assert left.parent == tmp_path
    assert left.exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = pool_folder.make()
    assert list(tmp_path.iterdir()) == [made]
    assert made.stat().st_mode & 0o077 == 0
    assert pool_folder.make() != made
    assert made.exists()


def test_what_is_not_known_to_be_left_stays(tmp_path):
    own = asdict(identify(os.getpid()))
    owners = {"living": json.dumps(own), "young": None, "strange": "[1]", "broken": "{"}
    for name, owner in owners.items():
        folder = tmp_path / f"{pool_folder.PREFIX}{name}"
        folder.mkdir()
        if owner is not None:
            (folder / "owner.json").write_text(owner)
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "owner.json").write_text(json.dumps({**own, "boot_id": "another"}))
    (tmp_path / f"{pool_folder.PREFIX}link").symlink_to(target)
    reused = tmp_path / f"{pool_folder.PREFIX}reused"
    reused.mkdir()
    (reused / "owner.json").write_text(json.dumps({**own, "started": own["started"] - 1}))
    pool_folder.sweep(tmp_path)
    assert {path.name.removeprefix(pool_folder.PREFIX) for path in tmp_path.iterdir()} == {
        *owners,
        "link",
        "elsewhere",
    }
