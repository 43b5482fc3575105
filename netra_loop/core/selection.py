"""Which tests a session runs, which tier owns each, and why: pytest's own `-k` and `-m` words, and path globs.

Expressions are read by a small parser of our own into reverse Polish form, without recursion and without `eval`, so
that no loop file can run code or exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from fnmatch import translate
from functools import lru_cache

from netra_loop.core.records import JOURNEY_PREFIX, CollectedTest, Selected
from netra_loop.core.schedule import Candidate, order
from netra_loop.core.spec import JourneySpec, SelectSpec, TierSpec
from netra_loop.errors import UsageError
from netra_loop.values import dataclass

_MAGIC = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\s+|(?P<paren>[()])|(?P<word>[\w:+\-.\[\]\\/]+)")
_PRECEDENCE = {"or": 1, "and": 2, "not": 3}


def select(
    tests: Sequence[CollectedTest],
    journeys: Sequence[JourneySpec],
    tiers: Sequence[TierSpec],
    *,
    only: str | None = None,
    failed_before: AbstractSet[str] = frozenset(),
    durations: Mapping[str, float] | None = None,
) -> list[Selected]:
    """The tests to run, in the order to run them; positions count from 0.

    The first tier that selects a test owns it; without tiers everything is in, with tier None. What no tier selects is
    left out: `len(tests) + len(journeys) - len(answer)` counts it. `only` names the one tier to keep; UsageError where
    there is no such tier. `durations` are seconds of earlier attempts, and of shared fixtures. An id that was collected
    twice counts once.
    """
    names = [tier.name for tier in tiers]
    if only is not None and only not in names:
        raise UsageError(
            f"no tier is called {only!r}, expected one of {', '.join(names) or 'none: the loop file has no tiers'}",
            hint="leave --only out, or give it the name of a tier",
        )
    candidates: dict[str, Candidate] = {}
    for owned in _owned(tests, journeys, tiers):
        if only is None or owned.tier == only:
            candidates.setdefault(owned.id, owned)
    details = {test.id: test for test in tests}
    chosen: list[Selected] = []
    for candidate, place in order(list(candidates.values()), failed_before, durations or {}):
        test = details.get(candidate.id)
        path, line = (test.path, test.line) if test is not None else (None, None)
        reason = f"{candidate.why}; {place}"
        chosen.append(Selected(candidate.id, candidate.tier, len(chosen), reason, path, line))
    return chosen


def _owned(
    tests: Sequence[CollectedTest], journeys: Sequence[JourneySpec], tiers: Sequence[TierSpec]
) -> Iterator[Candidate]:
    for journey in journeys:
        tier, rank, why = _journey_tier(journey, tiers)
        yield Candidate(JOURNEY_PREFIX + journey.name, tier, rank, JOURNEY_PREFIX, why)
    if not tiers:
        for test in tests:
            yield Candidate(test.id, None, 0, test.path, "no tiers: every test", test.shares)
        return
    for test in tests:
        for rank, tier_spec in enumerate(tiers):
            match = why_selected(test, tier_spec.select)
            if match is not None:
                why = f"tier {tier_spec.name} {match}"
                yield Candidate(test.id, tier_spec.name, rank, test.path, why, test.shares)
                break


def _journey_tier(journey: JourneySpec, tiers: Sequence[TierSpec]) -> tuple[str | None, int, str]:
    """A journey stands in the loop file to be run, so one that names no tier goes to the first that selects it, or to
    the first of all."""
    if not tiers:
        return None, 0, "no tiers: every journey"
    for rank, tier in enumerate(tiers):
        if tier.name == journey.tier:
            return tier.name, rank, f"tier {tier.name} named by the journey"
    as_test = CollectedTest(JOURNEY_PREFIX + journey.name, "", None, ("journey",), ("journey", journey.name))
    for rank, tier in enumerate(tiers):
        match = why_selected(as_test, tier.select)
        if match is not None:
            return tier.name, rank, f"tier {tier.name} {match}"
    return tiers[0].name, 0, f"tier {tiers[0].name} as the first: the journey names no tier"


def why_selected(test: CollectedTest, spec: SelectSpec) -> str | None:
    """How `spec` selects `test`, as the end of a sentence ("by path **/test_x*"); None where it does not."""
    for glob in spec.paths:
        if path_matches(glob, test.path, test.id):
            return f"by path {glob}"
    if spec.keyword is not None and _compiled(spec.keyword).evaluate(_substring_in(test.keywords)):
        return f"by keyword {spec.keyword}"
    if spec.marker is not None and _compiled(spec.marker).evaluate(frozenset(test.markers).__contains__):
        return f"by marker {spec.marker}"
    return "which takes all" if spec.everything else None


def _substring_in(names: Sequence[str]) -> Callable[[str], bool]:
    lowered = [name.lower() for name in names]

    def holds(word: str) -> bool:
        wanted = word.lower()
        return any(wanted in name for name in lowered)

    return holds


# ------------------------------------------------------------------------------------------------------ globs


def path_matches(glob: str, path: str, test_id: str = "") -> bool:
    """Whether `glob` names `path` (relative, posix). As `PurePath.match` does, a glob may match from any folder on;
    `**` spans folders; a glob without wildcards also names everything in that folder. One with `::` is a node id, or
    the beginning of one (a class, a function without its parameters)."""
    wanted = glob.removeprefix("./").rstrip("/")
    if "::" in wanted:
        return test_id == wanted or test_id.startswith((wanted + "::", wanted + "["))
    return _names(wanted, path)


@lru_cache(maxsize=1024)
def _names(wanted: str, path: str) -> bool:
    """Asked for each test, and tests of one file follow each other."""
    pattern = tuple(part for part in wanted.split("/") if part)
    parts = tuple(part for part in path.replace("\\", "/").split("/") if part not in {"", "."})
    if not pattern:
        return False
    if _segments_match(("**", *pattern), parts):
        return True
    return not _MAGIC.search(wanted) and _segments_match(("**", *pattern, "**"), parts)


def _segments_match(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Folder by folder, keeping the set of places in `pattern` that are possible: linear, whatever the glob."""
    reached = _skip_stars({0}, pattern)
    for part in parts:
        step: set[int] = set()
        for place in reached:
            if place == len(pattern):
                continue
            if pattern[place] == "**":
                step.add(place)
            elif _segment(pattern[place]).match(part):
                step.add(place + 1)
        reached = _skip_stars(step, pattern)
    return len(pattern) in reached


def _skip_stars(places: set[int], pattern: Sequence[str]) -> set[int]:
    """`**` also stands for no folder at all."""
    reached = set(places)
    for place in sorted(places):
        following = place
        while following < len(pattern) and pattern[following] == "**":
            following += 1
            reached.add(following)
    return reached


@lru_cache(maxsize=1024)
def _segment(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


# ------------------------------------------------------------------------------------------------ expressions


class ExpressionError(ValueError):
    """A `-k` or `-m` expression cannot be read; the text says what was found and what was expected."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression in reverse Polish form: words as they were written, operators as `(and)`, `(or)`, `(not)`."""

    program: tuple[str, ...]

    def evaluate(self, holds: Callable[[str], bool]) -> bool:
        """The expression's value where `holds` says which words are true."""
        stack: list[bool] = []
        for step in self.program:
            if step == "(not)":
                stack.append(not stack.pop())
            elif step == "(and)":
                right, left = stack.pop(), stack.pop()
                stack.append(left and right)
            elif step == "(or)":
                right, left = stack.pop(), stack.pop()
                stack.append(left or right)
            else:
                stack.append(holds(step))
        return stack.pop()


def keyword_problems(expression: str) -> str | None:
    """What is wrong with a `-k` or `-m` expression, in words for a person; None where it can be read."""
    try:
        _compiled(expression)
    except ExpressionError as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def _compiled(text: str) -> Expression:
    """The expression in `text`. Shunting yard: a stack of operators instead of recursion."""
    output: list[str] = []
    waiting: list[str] = []
    operand_next = True
    for part, column in _tokens(text):
        if operand_next != (part not in {")", "and", "or"}):
            expected = "a word, 'not' or '('" if operand_next else "'and', 'or' or ')'"
            raise ExpressionError(f"found {part!r} at column {column}, expected {expected}")
        if part in {"(", "not"}:
            waiting.append(part)
        elif part == ")":
            while waiting and waiting[-1] != "(":
                output.append(f"({waiting.pop()})")
            if not waiting:
                raise ExpressionError(f"found ')' at column {column} without a '(' before it")
            waiting.pop()
        elif part in {"and", "or"}:
            while waiting and waiting[-1] != "(" and _PRECEDENCE[waiting[-1]] >= _PRECEDENCE[part]:
                output.append(f"({waiting.pop()})")
            waiting.append(part)
            operand_next = True
        else:
            output.append(part)
            operand_next = False
    if operand_next:
        raise ExpressionError("the expression ends where a word was expected" if text.strip() else "it is empty")
    while waiting:
        operator = waiting.pop()
        if operator == "(":
            raise ExpressionError("a '(' is never closed")
        output.append(f"({operator})")
    return Expression(tuple(output))


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ExpressionError(
                f"found {text[position]!r} at column {position + 1}, expected words, 'and', 'or', 'not' and parentheses"
            )
        position = found.end()
        if found.lastgroup is not None:
            yield found.group(), found.start() + 1
