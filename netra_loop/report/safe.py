"""Makes what tests, services and logs say harmless on terminals and in CI logs.

Kept raw as evidence, shown through here: control characters, ANSI sequences, bidi marks and other invisible characters
become visible escapes; what a CI runner would take for a command (`::set-output`, `##[group]`, `##vso[`) is broken up.
"""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # within words of several scripts, and within emoji
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_COMMAND_AT_START = re.compile(r"^(\s*):(?=:)", re.MULTILINE)
_COMMAND_ANYWHERE = re.compile(r"##(?=\[|vso\[|teamcity\[)", re.IGNORECASE)
_LINE_ENDS = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")


def safe_text(text: str) -> str:
    """`text` with its lines and tabs, every other invisible character escaped and every CI command broken up."""
    if not text.isprintable():
        text = "".join(char if char in "\n\t" else _visible(char) for char in text.replace("\r\n", "\n"))
    return _COMMAND_ANYWHERE.sub("# #", _COMMAND_AT_START.sub(r"\1: ", text))


def safe_line(text: str, limit: int | None = None) -> str:
    """The same on one line, at most `limit` characters long: line ends become `⏎`, tabs spaces."""
    if limit is not None:
        text = text[: limit + 1]  # what is cut anyway need not be looked at
    line = safe_text(_LINE_ENDS.sub(" ⏎ ", text.strip()).replace("\t", " "))
    return line if limit is None or len(line) <= limit else line[: max(0, limit - 1)] + "…"


def _visible(char: str) -> str:
    if char in _JOINERS or unicodedata.category(char) not in _HIDDEN:
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
