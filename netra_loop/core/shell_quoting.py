"""Where a value lands in a POSIX shell command, so that it can be put there and stay one literal piece.

`Quoting` reads a command's literal text from left to right and knows in which quotes it stands. A value inside quotes
is put in by closing them, quoting the value by itself and opening them again. Where no spelling is safe in every shell
(backquotes, `${…}` of the shell, arithmetic, a here-document, a comment, after a backslash or a dollar) it says so, and
it rather refuses too much than too little.
"""

from __future__ import annotations

import re
import shlex

_REFUSED = {
    "`": "in backquotes",
    "{": "in the shell's own ${…}",
    "((": "in the shell's arithmetic",
    "#": "in a comment",
    "<<": "after a here-document began",
    "$'": "in the quotes $'…'",
    "$[": "after the arithmetic $[…]",
    "case": "after the word case (its lone brackets hide where quotes end)",
}
_BARE = re.compile(r"\\|'|\"|`|\$?\(\(|\$\(|\$\[|\(|\)|\$\{|\}|\$'|<<<|<<|#|[\s;&|]|.", re.DOTALL)
_IN_DOUBLE = re.compile(r"\\|\"|`|\$\(\(|\$\(|\$\[|\$\{|.", re.DOTALL)
_CASE = re.compile(r"(?<![\w-])case(?![\w-])")


class Quoting:
    """The state of one command, read so far. `feed` literal text, ask `refusal`, `quote` a value, `feed_word`."""

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._word_begins = True
        self._escaped = False
        self._dollar = False

    @property
    def refusal(self) -> str | None:
        """Why no value can stand here, as words that follow 'stands'; None where one can."""
        if self._escaped:
            return "after a backslash"
        if self._dollar:
            return "after a dollar"
        return next((_REFUSED[context] for context in self._stack if context in _REFUSED), None)

    def quote(self, value: str) -> str:
        """`value` as one literal piece for where the command stands now."""
        quotes = self._stack[-1] if self._stack and self._stack[-1] in {"'", '"'} else ""
        return f"{quotes}{shlex.quote(value)}{quotes}"

    def feed_word(self) -> None:
        """A value was put in here: what follows belongs to the same word."""
        self._word_begins = False

    def feed(self, text: str) -> None:
        """Reads on over literal text."""
        if _CASE.search(text):
            self._stack.insert(0, "case")
        at = 0
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            at = self._step(text, at)
        self._dollar = text.endswith("$") and self._stack[-1:] != ["'"]

    def _step(self, text: str, at: int) -> int:
        context = self._stack[-1] if self._stack else ""
        if context == "<<":
            return len(text)
        if context in {"'", "#", "$'", "`"}:
            return self._until(text, at, {"#": "\n", "$'": "'"}.get(context, context), context)
        match = (_IN_DOUBLE if context == '"' else _BARE).match(text, at)
        assert match is not None  # the last alternative takes any character
        token = match.group()
        if token == "\\":
            self._escaped = True
        elif context == '"':
            self._double(token)
        else:
            self._bare(token, context)
        return match.end()

    def _until(self, text: str, at: int, end: str, context: str) -> int:
        skip = context in {"$'", "`"}
        while at < len(text):
            if skip and text[at] == "\\":
                if at + 1 == len(text):
                    self._escaped = True
                at += 2
                continue
            if text[at] == end:
                self._stack.pop()
                self._word_begins = context == "#"
                return at + 1
            at += 1
        return at

    def _double(self, token: str) -> None:
        if token == '"':
            self._stack.pop()
        elif token in {"`", "${"}:
            self._stack.append(token[-1])
        elif token == "$((":
            self._stack += ["((", "(("]
        elif token == "$[":
            self._stack.insert(0, token)
        elif token == "$(":
            self._stack.append("(")
            self._word_begins = True

    def _bare(self, token: str, context: str) -> None:
        begins, self._word_begins = self._word_begins, token in {"(", "$(", ")", ";", "&", "|"} or token.isspace()
        if token in {"'", '"', "`", "(", "$'"}:
            self._stack.append("((" if token == "(" and context == "((" else token)
        elif token == "$(":
            self._stack.append("(")
        elif token in {"((", "$(("}:
            self._stack += ["((", "(("]
        elif token == "$[":
            self._stack.insert(0, token)
        elif token == "${":
            self._stack.append("{")
        elif (token == ")" and context in {"(", "(("}) or (token == "}" and context == "{"):
            self._stack.pop()
        elif token == "<<":
            self._stack.append("<<")
        elif token == "#" and begins:
            self._stack.append("#")
