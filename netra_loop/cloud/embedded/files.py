"""Small JSON files that are whole at every moment: temporary file, fsync, rename. Mode 0600."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def make_folder(path: Path) -> None:
    """A folder that only we may look into, with its parents."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replaces the file. `durable` waits for the disk; without it a power loss may leave the earlier content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(handle, 0o600)  # whatever the umask
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_json(path: Path) -> Any:
    """What the file holds; None where there is none. Raises ValueError where it is no JSON."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return json.loads(text)
