"""Regular expressions as RE2 has them: no back references, no looking around, and time linear in the text.

A pattern becomes a program of single steps, and the program a table of states that is made as far as texts need it.
Nobody who may send a filter can hold the server up with one. Only whether there is a match is told, never where.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import field
from functools import lru_cache

from netra_loop.cloud.embedded.pattern_syntax import MATCH, Assertion, Jump, OneOf, PatternError, program_of
from netra_loop.values import dataclass

_MOST_STATES = 2000
_BEGIN, _NEWLINE, _WORD, _OTHER = range(4)
_WORDS = re.compile(r"[0-9A-Za-z_]")

__all__ = ["PatternError", "searcher"]


@lru_cache(maxsize=64)
def searcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text holds a match of `pattern`, anywhere. Raises PatternError where it is none of RE2's."""
    return _Automaton(program_of(pattern)).search


@dataclass(eq=False)
class _State:
    """The steps that may come next, before the empty ones are taken, and what kind of character came before.

    `following` is None where the text has matched already.
    """

    seeds: frozenset[int]
    before: int
    following: dict[str, _State | None] = field(default_factory=dict)


class _Automaton:
    def __init__(self, program: list[Jump | OneOf | Assertion | None]) -> None:
        self._program = program
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._first = self._state(frozenset({0}), _BEGIN)

    def search(self, text: str) -> bool:
        state = self._first
        for character in text:
            try:
                after = state.following[character]
            except KeyError:
                after = state.following[character] = self._step(state, character)
            if after is None:
                return True
            state = after
        try:
            return state.following[""] is None
        except KeyError:
            after = state.following[""] = self._step(state, "")
            return after is None

    def _step(self, state: _State, character: str) -> _State | None:
        """The state behind `character` ("" being the end); None where there is a match before it."""
        reached = self._closure(state.seeds, state.before, character)
        if reached is None:
            return None
        after = {at + 1 for at, one in reached if one.holds(character)} if character else set()
        after.add(0)  # a match may begin anywhere
        return self._state(frozenset(after), _kind(character))

    def _closure(self, seeds: Iterable[int], before: int, character: str) -> list[tuple[int, OneOf]] | None:
        reached = []
        seen = set(seeds)
        waiting = list(seen)
        while waiting:
            at = waiting.pop()
            step = self._program[at]
            if step is MATCH:
                return None
            if isinstance(step, OneOf):
                reached.append((at, step))
                continue
            onward = step.targets if isinstance(step, Jump) else (at + 1,) if _holds(step, before, character) else ()
            for target in onward:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return reached

    def _state(self, seeds: frozenset[int], before: int) -> _State:
        found = self._states.get((seeds, before))
        if found is None:
            if len(self._states) > _MOST_STATES:
                self._states.clear()
            found = self._states[seeds, before] = _State(seeds, before)
        return found


def _kind(character: str) -> int:
    if character == "\n":
        return _NEWLINE
    return _WORD if _WORDS.match(character) else _OTHER


def _holds(step: Assertion | None, before: int, character: str) -> bool:
    match step:
        case Assertion("begin"):
            return before == _BEGIN
        case Assertion("end"):
            return character == ""
        case Assertion("line begin"):
            return before in {_BEGIN, _NEWLINE}
        case Assertion("line end"):
            return character in {"", "\n"}
        case Assertion("word edge"):
            return (before == _WORD) != (_kind(character) == _WORD)
        case _:
            return (before == _WORD) == (_kind(character) == _WORD)
