"""Loop files that nobody should read: the command line refuses each at its place, soon, and touches nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

HEAD = (
    "version: 1\nname: hostile\ntests: {paths: [tests]}\nphases: {select: {uses: select}, execute: {uses: execute}}\n"
)
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)
FAR_TOO_LONG_S = 30.0  # on a machine that does much else; by itself it takes half a second


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.write(HEAD.encode())
        file.truncate(100 * 1024 * 1024)


def _text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="") and None


def _bytes(raw: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(raw) and None


@pytest.mark.parametrize(
    ("make", "line", "message"),
    [
        pytest.param(_text(BOMB), 5, "more than 20000 values", id="alias bomb"),
        pytest.param(_text("a: " + "[" * 20_000), 1, "nested deeper than 64", id="20,000 levels"),
        pytest.param(_text("a: " + "{a: " * 20_000), 1, "nested deeper than 64", id="20,000 levels of mappings"),
        pytest.param(_text(HEAD + "vars: {a: !!python/object/apply:os.system [touch hit]}"), 5, "the tag", id="python"),
        pytest.param(_text(HEAD + "name: again"), 5, "duplicate key 'name', first on line 2", id="duplicate"),
        pytest.param(_text(HEAD + "description: NO"), 5, "expected text", id="NO"),
        pytest.param(_text(HEAD + "description: 1.10"), 5, "expected text", id="1.10"),
        pytest.param(_text(HEAD + "description: 12:30"), 5, "expected text", id="12:30"),
        pytest.param(_text(HEAD + "description: a\0b"), 5, "U+0000", id="NUL"),
        pytest.param(_text(HEAD + "description: \x1b[31mred"), 5, "U+001B", id="escape"),
        pytest.param(_text(HEAD + "vars:\n\ta: b"), 6, "not valid YAML", id="tab"),
        pytest.param(_bytes(HEAD.encode() + b"description: caf\xe9"), 5, "byte 0xe9 is no UTF-8", id="Latin-1"),
        pytest.param(_bytes(HEAD.encode("utf-16")), 1, "is no UTF-8", id="UTF-16"),
        pytest.param(_text("\ufeff" + HEAD + "unknown: 1"), 5, "unknown key 'unknown'", id="BOM"),
        pytest.param(_text(HEAD.replace("\n", "\r") + "unknown: 1"), 5, "unknown key 'unknown'", id="CR"),
        pytest.param(_text(HEAD.replace("\n", "\r\n") + "unknown: 1"), 5, "unknown key 'unknown'", id="CRLF"),
        pytest.param(_large, 1, "bytes, expected at most", id="100 MB"),
        pytest.param(os.mkfifo, 1, "no regular file", id="FIFO"),
        pytest.param(Path.mkdir, 1, "no regular file", id="folder"),
        pytest.param(_bytes(b""), 1, "the file is empty", id="empty"),
    ],
)
def test_is_refused_with_its_place(project, make, line, message):
    path = project.folder / "hostile.yaml"
    make(path)
    before = sorted(project.folder.iterdir())
    done = project.call("run", str(path), "--plain", timeout_s=FAR_TOO_LONG_S)
    assert done.returncode == 2, done.stderr
    places = [re.match(rf"(?:error: )?{re.escape(str(path))}:(\d+):(\d+): ", told) for told in done.stderr.splitlines()]
    assert any(place and int(place[1]) in {line, line + 1} for place in places), done.stderr
    assert message in done.stderr
    assert len(done.stderr) < 10_000
    assert sorted(project.folder.iterdir()) == before


@pytest.mark.parametrize("target", ["/dev/zero", "/proc/self/mem", "nowhere.yaml"])
def test_a_link_leads_to_nothing_that_never_ends(project, target):
    (project.folder / "link.yaml").symlink_to(target)
    done = project.call("run", "./link.yaml", "--plain", timeout_s=FAR_TOO_LONG_S)
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize(
    "name", ["-x.yaml", "--help.yaml", "a;touch hit.yaml", "$(touch hit).yaml", "a\x1b[31m.yaml", "a\n::error::b.yaml"]
)
def test_a_name_of_a_file_is_only_a_name(project, name):
    (project.folder / name).write_text(HEAD + "unknown: 1")
    done = project.call("validate", "--", f"./{name}")
    assert done.returncode == 2
    assert "unknown key 'unknown'" in done.stderr
    assert "\x1b" not in done.stderr
    assert not any(told.startswith("::") for told in done.stderr.splitlines())
    assert [path.name for path in project.folder.iterdir()] == [name]
