"""What is kept is for nobody else: files 0600 and folders 0700, whatever the umask of whoever starts netra-loop."""

from __future__ import annotations

import os
import stat

import pytest

LOOP = """
version: 1
name: modes
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 1}
phases:
  select: {uses: select}
  execute: {uses: execute}
  fix: {uses: run, with: {command: "true"}}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
"""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_files_are_0600_and_folders_0700(project, umask):
    for folder in ("loops", "tests"):
        (project.folder / folder).mkdir()
    (project.folder / "loops/modes.yaml").write_text(LOOP)
    (project.folder / "tests/test_it.py").write_text("def test_it(): pass\n")
    before = os.umask(umask)
    try:
        done = project.call("run", "modes", "--plain")
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    root = project.folder / ".netra-loop"
    kept = [root, *root.rglob("*")]
    modes = {str(path.relative_to(root.parent)): stat.S_IMODE(path.lstat().st_mode) for path in kept}
    wanted = {str(path.relative_to(root.parent)): 0o700 if path.is_dir() else 0o600 for path in kept}
    assert modes == wanted
    assert any(name.endswith("brief.md") for name in modes)
