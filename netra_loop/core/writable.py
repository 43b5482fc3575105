r"""Text that can be written anywhere, whatever tests and services put into it.

Python's texts may hold halves of surrogate pairs (JSON's `"\ud83d"`, a file name of broken bytes), and no UTF-8 can
carry one: writing it would raise, long after whoever said it is gone.
"""

from __future__ import annotations

import json
import re
from typing import Any

_COMMAND = re.compile(r"#(?=#(?:\[|vso\[|teamcity\[))", re.IGNORECASE)  # to a CI runner, wherever it stands in a line
_COMMAND_AT_START = re.compile(r'(?:(?<=")|(?<=\\[nr]))( *):(?=:)')  # to one whose log somebody unfolds the text into
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def writable(text: str) -> str:
    r"""`text` with each lone surrogate shown as its escape, such as `\ud83d`; the very same object where there is
    none.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` in JSON for people and programs: readable letters, and as JSON's own escapes whatever a terminal obeys
    (controls, marks that turn the direction of writing) or a CI runner (`##[group]`, `::add-mask::`) and lone
    surrogates, so that it reads back as the same value.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if "##" in text:
        text = _COMMAND.sub(r"\\u0023", text)
    if "::" in text:
        text = _COMMAND_AT_START.sub(r"\1\\u003a", text)
    return writable(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
