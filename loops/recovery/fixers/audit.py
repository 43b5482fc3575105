# ruff: noqa: T201 - what it prints is kept with its phase
"""A gate between a fixer and its commit: `python3 audit.py FOLDER` looks at what was changed in FOLDER since the last
commit. Exit code 1, with the reason, where that is nothing, is no Python any more, or hides a failure.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path


def main(folder: str) -> int:
    changed = git("diff", "--name-only", "--relative", "HEAD", "--", folder).split()
    changed += git("ls-files", "--others", "--exclude-standard", "--", folder).split()
    if not changed:
        print(f"no: nothing in {folder} was changed")
        return 1
    reasons = [reason for name in changed for reason in look(name)]
    for reason in reasons:
        print(f"no: {reason}")
    if not reasons:
        print(f"yes: {', '.join(changed)}")
    return 1 if reasons else 0


def look(name: str) -> list[str]:
    """What is wrong with a changed file."""
    path = Path(name)
    if path.suffix != ".py" or not path.exists():
        return []
    try:
        now = ast.parse(path.read_text(encoding="utf-8"), filename=name)
    except SyntaxError as error:
        return [f"{name} is no Python: {error}"]
    before = ast.parse(git("show", f"HEAD:./{name}", check=False))
    more = handlers(now) - handlers(before)
    return [f"{name} catches {', '.join(sorted(more))}: that hides the failure and mends nothing"] if more else []


def handlers(tree: ast.AST) -> set[str]:
    """What the code catches."""
    caught = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    return {"everything" if node.type is None else ast.unparse(node.type) for node in caught}


def git(*words: str, check: bool = True) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=check).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
