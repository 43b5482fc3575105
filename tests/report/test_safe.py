from __future__ import annotations

import pytest

from netra_loop.report.safe import safe_line, safe_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ünï 日本 🎉", "plain ünï 日本 🎉"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("over\rwritten\b\0", "over\\x0dwritten\\x08\\x00"),
        ("user\u202etxt.exe\u2066", "user\\u202etxt.exe\\u2066"),
        ("a\u200bb\ufeff\U000e0041", "a\\u200bb\\ufeff\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("family 👩\u200d👧", "family 👩\u200d👧"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("::set-output name=x::y", ": :set-output name=x::y"),
        ("ok\n  ::error file=a.py::boom", "ok\n  : :error file=a.py::boom"),
        ("tests/test_a.py::test_b", "tests/test_a.py::test_b"),
        ("say ##[group]x", "say # #[group]x"),
        ("##vso[task.setvariable]x", "# #vso[task.setvariable]x"),
    ],
)
def test_text(raw: str, shown: str) -> None:
    assert safe_text(raw) == shown


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_a_line_is_one_line(end: str) -> None:
    assert safe_line(f" ok{end}::stop-commands::x ") == "ok ⏎ ::stop-commands::x"


def test_a_line_cannot_begin_with_a_command() -> None:
    assert safe_line("\n::add-mask::x") == ": :add-mask::x"


def test_a_line_is_cut() -> None:
    assert safe_line("x" * 100, 10) == "xxxxxxxxx…"
    assert safe_line("x" * 10, 10) == "x" * 10
