"""Makes a timeline short enough to be read: silences told, repetitions counted, the middle of a long one left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from netra_loop.report.timeline import Moment
from netra_loop.values import dataclass

QUIET_S = 1.0  # a silence from here on is worth a line
_PERIOD_MAX = 4  # moments that may repeat together: a poll, its answer, what the server logged of both
_LEAST = 4  # moments alike in a row before they are folded
_HEAD, _TAIL = 200, 200


@dataclass(frozen=True)
class Quiet:
    """Nothing at all was seen for so long."""

    seconds: float


@dataclass(frozen=True)
class Repeated:
    """The last `moments` lines came so many more times, the last of them at `until`."""

    moments: int
    times: int
    until: datetime


@dataclass(frozen=True)
class LeftOut:
    """So many moments are not shown."""

    moments: int


Item = Moment | Quiet | Repeated | LeftOut


def fold(moments: Sequence[Moment]) -> list[Item]:
    """`moments` (in the order of time) with silences told and repetitions counted; the middle of more than 400 left
    out. Nothing is told to be silence while an answer was waited for: the exchange says how long that was.
    """
    silences = _silences(moments)
    keys = [
        (one.source, one.like or (id(one),), one.sure, quiet is not None)
        for one, quiet in zip(moments, silences, strict=True)
    ]
    items: list[Item] = []
    index = 0
    while index < len(moments):
        period, times = _repetition(keys, index)
        for place in range(index, index + period):
            quiet = silences[place]
            items += [moments[place]] if quiet is None else [Quiet(quiet), moments[place]]
        index += period * times
        if times > 1:
            items.append(Repeated(period, times - 1, moments[index - 1].at))
    if len(items) > _HEAD + _TAIL:
        left = sum(_weight(item) for item in items[_HEAD:-_TAIL])
        items[_HEAD:-_TAIL] = [LeftOut(left)]
    return items


def _silences(moments: Sequence[Moment]) -> list[float | None]:
    """Before each moment: for how many seconds nothing was seen, None where that is not worth telling."""
    found: list[float | None] = []
    over: datetime | None = None
    for moment in moments:
        quiet = 0.0 if over is None else (moment.at - over).total_seconds()
        found.append(quiet if quiet >= QUIET_S else None)
        over = moment.until if over is None else max(over, moment.until)
    return found


def _repetition(keys: Sequence[tuple[object, ...]], index: int) -> tuple[int, int]:
    """How many moments from `index` on repeat together, and how often they come; (1, 1) where nothing does."""
    for period in range(1, _PERIOD_MAX + 1):
        block = keys[index : index + period]
        times = 1
        while keys[index + times * period : index + (times + 1) * period] == block:
            times += 1
        if times > 2 and times * period >= _LEAST:
            return period, times
    return 1, 1


def _weight(item: Item) -> int:
    if isinstance(item, Repeated):
        return item.moments * item.times
    return int(isinstance(item, Moment))
