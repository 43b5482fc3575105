"""What a fixer may leave beside its changes: a note, and the findings that it means to have fixed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection
from pathlib import Path

from netra_loop.values import dataclass

NOTE, CLAIM = "note.md", "claim.json"
_MOST = 65_536  # bytes of either


@dataclass(frozen=True)
class Said:
    """What was read. `claims` are ids of findings that there are; `troubles` says what else was there instead."""

    note: str = ""
    claims: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()


def clear(folder: Path) -> None:
    """Removes what an attempt that was cut off left."""
    for name in (NOTE, CLAIM):
        (folder / name).unlink(missing_ok=True)


def read(folder: Path, known: Collection[str]) -> Said:
    """Both files of a fixer that has ended. Nothing in them can fail: what is not as it should be is told."""
    note, trouble = _text(folder / NOTE)
    claims, more = _claims(folder / CLAIM, known)
    return Said(note, claims, tuple(one for one in (trouble, *more) if one))


def _claims(path: Path, known: Collection[str]) -> tuple[tuple[str, ...], list[str]]:
    text, trouble = _text(path)
    if trouble or not text.strip():
        return (), [trouble] if trouble else []
    try:
        given = json.loads(text)
    except ValueError as error:
        return (), [f"the claim is no JSON: {error}"]
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        return (), ["the claim is no JSON list of finding ids"]
    claims = tuple(one for one in dict.fromkeys(given) if one in known)
    strange = [one for one in given if one not in known]
    return claims, [f"the claim names no finding of this brief: {', '.join(strange[:5])[:200]}"] if strange else []


def _text(path: Path) -> tuple[str, str]:
    """The file's text, "" where there is none, and what is wrong with it."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return "", ""
    except OSError as error:
        return "", f"{path.name} cannot be read: {error.strerror}"
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return "", f"{path.name} is no regular file"
        raw = file.read(_MOST + 1)
    cut = f"{path.name} is longer than {_MOST} bytes and was cut" if len(raw) > _MOST else ""
    return raw[:_MOST].decode("utf-8", "replace"), cut
