"""Durations as people write them: `250ms 30s 5m 2h 1d`, composed from large to small as in `5h30m`.

`parse` and `show` are the only two places where text and seconds meet; everything between them is float seconds.
"""

from __future__ import annotations

import re

UNITS: dict[str, float] = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONGEST_S = 3_650 * UNITS["d"]

PATTERN = (  # also read by editors as part of the JSON Schema: no Python-only syntax
    r"(?=[0-9])(?:[0-9]+(?:\.[0-9]+)?d ?)?(?:[0-9]+(?:\.[0-9]+)?h ?)?(?:[0-9]+(?:\.[0-9]+)?m ?)?"
    r"(?:[0-9]+(?:\.[0-9]+)?s ?)?(?:[0-9]+(?:\.[0-9]+)?ms)?"
)
_WHOLE = re.compile(PATTERN)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
_LONGEST_TEXT = 40


def parse(text: str) -> float:
    """The seconds that `text` stands for, never negative.

    Raises ValueError, with a sentence for the user, for anything else: a bare number (`30`), another unit, units out of
    order or twice, or more than ten years.
    """
    if len(text) > _LONGEST_TEXT or not _WHOLE.fullmatch(text) or text.endswith(" "):
        raise ValueError(f"expected a duration such as 250ms, 30s, 5m, 2h, 1d or 5h30m, found {text[:_LONGEST_TEXT]!r}")
    seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST_S:
        raise ValueError(f"expected a duration of at most ten years, found {text!r}")
    return seconds


def show(seconds: float) -> str:
    """`seconds` for a person: `0.4s` below a minute, `1h 2m 3s` from there on; zero parts are left out.

    Below a minute one decimal is kept, below a tenth of a second it is `40ms`. A negative duration, which only a defect
    could make, shows its sign.
    """
    if seconds < 0:
        return "-" + show(-seconds)
    tenths = round(seconds, 1)
    if tenths < 0.1:
        return f"{round(seconds * 1000)}ms" if round(seconds * 1000) else "0s"
    if tenths < UNITS["m"]:
        return f"{tenths:.1f}".removesuffix(".0") + "s"
    left = round(seconds)
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts)
