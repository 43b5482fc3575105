"""The tools that agents use. Each takes text and returns text, or raises ToolError with a sentence for the user."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from agent_backend.corpus import DOCUMENTS

Tool = Callable[[str], str]

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
MAX_EXPRESSION = 200  # characters; deeper nesting than this allows is no arithmetic that a person asks for


class ToolError(Exception):
    """A tool could not do what it was asked; the text is for the user."""


def calculate(expression: str) -> str:
    """Evaluates + - * / // % and parentheses over numbers; nothing else is ever executed."""
    if len(expression) > MAX_EXPRESSION:
        raise ToolError(f"expression longer than {MAX_EXPRESSION} characters")
    try:
        value = _evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError):  # ValueError: a NUL in it
        raise ToolError(f"not an arithmetic expression: {expression.strip()!r}") from None
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except OverflowError:
        raise ToolError("the result is too large") from None
    if not math.isfinite(value):
        raise ToolError("the result is too large")
    return str(int(value)) if value == int(value) else f"{value:.10g}"


def _evaluate(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_evaluate(left), _evaluate(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_evaluate(operand))
    raise ToolError(f"not arithmetic: {ast.unparse(node)}")


def search_corpus(query: str) -> str:
    """The document that shares most words with the query, as `title: text`."""
    wanted = set(_words(query))
    best = max(DOCUMENTS, key=lambda document: len(wanted.intersection(_words(f"{document.title} {document.text}"))))
    if not wanted.intersection(_words(f"{best.title} {best.text}")):
        raise ToolError(f"nothing found for {query.strip()[:60]!r}")
    return f"{best.title}: {best.text}"


def count_words(text: str) -> str:
    words = _words(text)
    return f"{len(words)} words, {len(set(words))} different, {len(text)} characters"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


TOOLS: dict[str, Tool] = {"calculate": calculate, "search_corpus": search_corpus, "count_words": count_words}
