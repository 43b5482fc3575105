"""The sealed files as they lie on the disk, before a command and after it: whatever git was told of them, or not.

Each file's hash, and its text as far as a diff needs it, are kept in the session's folder before the command runs, so a
process that finds it cut off compares with the same. What git itself goes by in the workspace's repository (its
settings, hooks and lists of what to ignore) is held against what it was, too.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netra_loop.core.seal import Seal, pytest_part
from netra_loop.workspace.base import Workspace

_SAVED = "sealed.json"
_NOISE = frozenset({"__pycache__", ".pytest_cache", ".git", ".netra-loop", ".venv", "node_modules"})
_KEPT = 1_000_000  # bytes of a file whose text is kept for a diff
_DIFF = 200_000
_GITS = "git's own "
_OVER_LINES = re.DOTALL | re.MULTILINE | re.IGNORECASE
_MOVES = re.compile(r'^\[(?:branch|remote) ".*?\n(?=\[|\Z)', _OVER_LINES)  # what fetching and pushing set
_ACTED_ON = re.compile(r"^\[(?:core|filter|include|includeif|diff|merge)\b.*?(?=^\[|\Z)", _OVER_LINES)


@dataclass(frozen=True)
class Kept:
    """What was there: `files` maps paths to what tells their content, `texts` some of them to their text; `gits` is the
    same for git's own files, by absolute path. `owed` is what files held before an earlier command of the session
    changed them, where that was refused and could not be taken back.
    """

    files: Mapping[str, str]
    texts: Mapping[str, str] = field(default_factory=dict)
    gits: Mapping[str, str] = field(default_factory=dict)
    owed: Mapping[str, str | None] = field(default_factory=dict)


def keep(
    folder: Path, above: Path, seal: Seal, workspace: Workspace | None, owed: Mapping[str, str | None] | None = None
) -> Kept:
    """Keeps in `folder` what the sealed files below `above` are now; durable when it returns. Who lives on goes by what
    is given back: the command may reach the folder.
    """
    files = _manifest(above, seal)
    texts = {path: text for path in files if (text := _text(above / path)) is not None}
    found = Kept(files, texts, _gits(workspace), owed or {})
    draft = folder / f"{_SAVED}.draft"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask
        # No texts: a secret in one of them would be stored here as it is.
        json.dump({"files": found.files, "gits": found.gits, "owed": found.owed}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / _SAVED)
    return found


def kept(folder: Path) -> Kept | None:
    """What `keep` has kept; None where it did not come to its end."""
    try:
        return Kept(**json.loads((folder / _SAVED).read_text("utf-8")))
    except FileNotFoundError:
        return None


def forget(folder: Path) -> None:
    """Undoes `keep`."""
    (folder / _SAVED).unlink(missing_ok=True)


def differing(before: Kept, above: Path, seal: Seal) -> list[str]:
    """The sealed paths that are not what they were, in order."""
    now = _manifest(above, seal)
    return [path for path in sorted({*before.files, *now}) if before.files.get(path) != now.get(path)]


def still_owed(before: Kept, above: Path, seal: Seal, workspace: Workspace | None) -> list[str]:
    """Those of the files that are owed which nobody has put back, in order; of git's settings what it acts on."""
    if not before.owed:
        return []
    now = {**_manifest(above, seal), **{f"{_GITS}{path}": text for path, text in _gits(workspace).items()}}
    return [path for path, was in sorted(before.owed.items()) if _tells(path, now.get(path)) != _tells(path, was)]


def owed_for(before: Kept, refused: Sequence[str], *, in_place: bool) -> dict[str, str | None]:
    """What was refused and is not taken back: in place all that is sealed, else git's own files in the user's
    repository; each with what it held. Hooks are not, for none runs.
    """
    gits = {f"{_GITS}{path}": text for path, text in before.gits.items()}
    if in_place:
        return {path: before.files.get(path) for path in refused}
    return {path: gits.get(path) for path in refused if path.startswith(_GITS) and "/hooks/" not in path}


def is_of_git(path: str) -> bool:
    """Whether what is told is one of git's own files."""
    return path.startswith(_GITS)


def _tells(path: str, told: str | None) -> str | None:
    return (told or "").rpartition(" ")[2] if path.startswith(_GITS) else told


def _acted_on(path: Path, text: str) -> str:
    """What git runs, or goes elsewhere, by; not who somebody is, for a person may say so at any time."""
    return "".join(_ACTED_ON.findall(text)) if path.name.startswith("config") else text


def differing_gits(before: Kept, workspace: Workspace) -> list[str]:
    """Those of git's own files that are not what they were, as they are told."""
    now = _gits(workspace)
    return [f"{_GITS}{path}" for path in sorted({*before.gits, *now}) if before.gits.get(path) != now.get(path)]


def diff(before: Kept, above: Path, paths: Sequence[str]) -> str:
    """What is different in `paths`, as a unified diff as far as their texts are known."""
    return "".join(
        f"{path} differs from what it was\n"
        if path in before.files and path not in before.texts
        else _diff(path, before.texts.get(path), _text(above / path))
        for path in paths
    )[:_DIFF]


def put_back(before: Kept, above: Path, seal: Seal, workspace: Workspace) -> None:
    """Gives sealed files that git does not look at what they held, and a copy's repository its own settings; a
    worktree's repository is the user's, and left as it is.
    """
    for path in differing(before, above, seal):
        if path not in before.files:
            (above / path).unlink(missing_ok=True)
        elif path in before.texts:
            (above / path).parent.mkdir(parents=True, exist_ok=True)
            (above / path).unlink(missing_ok=True)
            (above / path).write_text(before.texts[path], "utf-8")
    put_back_gits(before, workspace)


def put_back_gits(before: Kept, workspace: Workspace) -> None:
    """Of that only a copy's repository, without which git may not even start."""
    if workspace.made.kind == "copy":
        now = _gits(workspace)
        for path in {*before.gits, *now}:
            if path not in before.gits:
                Path(path).unlink(missing_ok=True)
            elif before.gits[path] != now.get(path):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(before.gits[path], "utf-8", "surrogateescape")


def _manifest(above: Path, seal: Seal) -> dict[str, str]:
    whole = {path: _digest(above / path) for path in sorted(_files(above, seal))}
    return whole | {path: told for path in seal.settings if (told := _told_pytest(above, path))}


def _files(above: Path, seal: Seal) -> Iterator[str]:
    """The files and links that are sealed as a whole, as far as they are there."""
    if seal.globs or "." in seal.files:
        yield from (path for path in _below(above, "") if seal.holds(path))
        return
    for path in dict.fromkeys((*seal.files, *seal.beside)):
        kind = _kind(above / path)
        if kind is not None and stat.S_ISDIR(kind):
            yield from _below(above, f"{path}/")
        elif kind is not None:
            yield path


def _below(above: Path, prefix: str) -> Iterator[str]:
    """All that is no folder, below one; links are not followed."""
    try:
        with os.scandir(above / prefix) as found:
            entries = list(found)
    except OSError:
        return  # not readable, which its own entry tells
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _NOISE:
                yield from _below(above, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}"


def _kind(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _digest(path: Path) -> str:
    try:
        kind = path.lstat().st_mode
        if stat.S_ISLNK(kind):
            return f"link to {path.readlink()}"
        if not stat.S_ISREG(kind):
            return "no regular file"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"not readable: {error.strerror}"


def _told_pytest(above: Path, path: str) -> str:
    kind = _kind(above / path)
    if kind is None:
        return ""
    if not stat.S_ISREG(kind):
        return _digest(above / path)
    text = _text(above / path)
    return _digest(above / path) if text is None else pytest_part(path, text)


def _gits(workspace: Workspace | None) -> dict[str, str]:
    """What git goes by in the workspace's repository: its own files that decide what it does, by absolute path."""
    if workspace is None:
        return {}
    common = (workspace.made.root if workspace.made.kind == "copy" else workspace.home) / ".git"
    if not common.is_dir():  # a worktree of the user's own, or a submodule: what it is part of is not looked at
        return {}
    paths = [common / name for name in ("config", "config.worktree", "info/exclude", "info/attributes")]
    paths += [path for path in (common / "hooks").glob("*") if path.suffix != ".sample"]
    found = {}
    for path in paths:
        text = _raw_text(path)
        if text is not None:
            moves = path.name == "config" and workspace.made.kind == "worktree"
            told = _MOVES.sub("", text) if moves else text
            # Of a copy's own it is put back; the user's may hold credentials.
            is_copy = workspace.made.kind == "copy"
            found[str(path)] = told if is_copy else f"{_sha256(told)} {_sha256(_acted_on(path, told))}"
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _raw_text(path: Path) -> str | None:
    kind = _kind(path)
    if kind is None:
        return None
    if not stat.S_ISREG(kind) or path.lstat().st_size > _KEPT:
        return _digest(path)
    return path.read_text("utf-8", "surrogateescape")


def _text(path: Path) -> str | None:
    """What a diff can show of it; None for what is no text, no file or too long."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _KEPT:
            return None
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _diff(path: str, before: str | None, now: str | None) -> str:
    told = "".join(difflib.unified_diff(_lines(before), _lines(now), f"a/{path}", f"b/{path}"))
    return told or f"{path} differs\n"


def _lines(text: str | None) -> Sequence[str]:
    if text is None:
        return []
    return [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
