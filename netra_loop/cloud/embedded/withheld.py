"""Values that the embedded cloud works with and never writes: in its files a label stands for each.

Whoever starts it says the values, each under the label of where it comes from (a variable, a key of the loop file).
What was written with a label is read with the value that the label has now, so a revision that comes back has the
secret of today, as with a secret's version `latest`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from netra_loop.core.redact import MARK, MIN_LENGTH, Redactor

_LABEL = re.compile(r"\[netra-loop keeps: ([^\]\n]*)\]")


class Withheld:
    """`values` by label; an empty one is as good as none. `whole` are values of variables that only hold secrets, in
    some form: they are kept out as a whole. `redactor` hides the values in everything else, None: nothing does, since
    nobody said any.
    """

    def __init__(self, values: Mapping[str, str], whole: Mapping[str, str] | None = None) -> None:
        known = {label: value for label, value in values.items() if value and "]" not in label}
        self._values = {label: value for label, value in (whole or {}).items() if "]" not in label} | known
        self._labels = {value: label for label, value in reversed(self._values.items())}
        long = sorted((value for value in known.values() if len(value) >= MIN_LENGTH), key=len, reverse=True)
        self._anywhere = re.compile("|".join(map(re.escape, long))) if long else None
        self.redactor = Redactor(known.values()) if known else None

    def out_of(self, value: Any) -> Any:
        """`value` (of JSON) with labels in the place of the values."""
        if not self._labels:
            return value
        if isinstance(value, dict):
            short = value.get("value") if "name" in value else None  # a variable's, whole: short ones are known there
            label = self._labels.get(short) if isinstance(short, str) else None
            return {key: self.out_of(item) for key, item in value.items()} | ({"value": _kept(label)} if label else {})
        if isinstance(value, list):
            return [self.out_of(item) for item in value]
        if isinstance(value, str) and self._anywhere is not None:
            return self._anywhere.sub(lambda found: _kept(self._labels[found[0]]), value)
        return value

    def back_into(self, value: Any) -> Any:
        """`value` as it was before `out_of`. What nobody knows any more is a mark."""
        if isinstance(value, dict):
            return {key: self.back_into(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.back_into(item) for item in value]
        if isinstance(value, str):
            return _LABEL.sub(lambda found: self._values.get(found[1], MARK), value)
        return value


def _kept(label: str) -> str:
    return f"[netra-loop keeps: {label}]"
