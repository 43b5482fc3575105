"""From a brief to the code: what netra-loop hands to a fixer, and where the value that a failing line uses comes from.

Nothing here knows this service. A file is found by the root cause's place, and what is looked for in it by what the
exception says; where that is not there, NotThereError says so.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Union

WORKSPACE = Path(os.environ.get("NETRA_LOOP_WORKSPACE", "."))
Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]  # noqa: UP007 - python3 may be older than the service's


class NotThereError(Exception):
    """The code is not what the brief led to expect."""


@dataclass(frozen=True)
class Place:
    """Where a revision failed: a line of a file in the workspace, and what was raised there."""

    path: Path
    line: int
    function: str
    exception: str
    message: str


@dataclass(frozen=True)
class Definition:
    """A function, in the file that it stands in."""

    path: Path
    node: Function


def worst_finding(brief: dict) -> dict:
    """The first finding, for they are in order of impact, whose place in the workspace is known."""
    for finding in brief["findings"]:
        if finding["place"] is not None:
            return finding
    raise NotThereError(f"none of the brief's {len(brief['findings'])} findings names a place in the source")


def place_of(finding: dict) -> Place:
    """The root cause's place."""
    cause, path = finding["root_cause"], WORKSPACE / finding["place"]["path"]
    place = Place(path, finding["place"]["line"], cause["function"], cause["exception"], cause["message"])
    if not path.is_file() or _function_at(place).name != place.function:
        raise NotThereError(f"line {place.line} of {path.name} is in no function {place.function!r}")
    return place


def failing_statement(place: Place) -> ast.stmt:
    """The innermost statement on the line."""
    statements = (node for node in ast.walk(tree_of(place.path)) if isinstance(node, ast.stmt))
    covering = [node for node in statements if _covers(node, place.line)]
    if not covering:
        raise NotThereError(f"line {place.line} of {place.path.name} holds no statement")
    return max(covering, key=lambda node: node.lineno)


def origin(place: Place) -> Definition:
    """Where the value that was None on the failing line is from: the definition of the method that gave it."""
    told = re.search(r"'NoneType' object has no attribute '(\w+)'", place.message)
    if told is None:
        raise NotThereError(f"the exception does not say that something was None: {place.message}")
    names = {
        node.value.id
        for node in ast.walk(failing_statement(place))
        if isinstance(node, ast.Attribute) and node.attr == told[1] and isinstance(node.value, ast.Name)
    }
    for node in ast.walk(_function_at(place)):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id in names for to in node.targets):
            value = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
                return definition_of(value.func.attr, near=place.path)
    raise NotThereError(
        f"line {place.line} of {place.path.name} uses nothing that a method gave and that could be None"
    )


def definition_of(name: str, near: Path) -> Definition:
    """The function called `name` in the folder of the file `near`."""
    for path in sorted(near.parent.glob("*.py")):
        for node in _functions(tree_of(path)):
            if node.name == name:
                return Definition(path, node)
    raise NotThereError(f"no module beside {near.name} defines {name!r}")


def maker_like(wanted: Definition, module: str) -> Definition:
    """A method that takes what `wanted` takes and gives what it gives, of a class in a module that it imports."""
    for path in _sources():
        if path.as_posix().endswith(f"/{module.replace('.', '/')}.py"):
            for node in _functions(tree_of(path)):
                if node.name != wanted.node.name and _signature(node) == _signature(wanted.node):
                    return Definition(path, node)
    raise NotThereError(f"{module} has nothing that takes and gives what {wanted.node.name!r} does")


def is_ever_set(attribute: str, package: str) -> bool:
    """Whether any module of `package` gives the attribute another value than None."""
    for path in _sources():
        if path.parent.name == package:
            for node in ast.walk(tree_of(path)):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                sets = any(isinstance(to, ast.Attribute) and to.attr == attribute for to in targets)
                value = getattr(node, "value", None)
                if sets and not (isinstance(value, ast.Constant) and value.value is None):
                    return True
    return False


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _sources() -> list[Path]:
    """The workspace's modules, those of hidden folders left out."""
    found = []
    for at, folders, files in os.walk(WORKSPACE):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        found += [Path(at) / name for name in sorted(files) if name.endswith(".py")]
    return found


def _functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _function_at(place: Place) -> Function:
    for node in _functions(tree_of(place.path)):
        if _covers(node, place.line):
            return node
    raise NotThereError(f"line {place.line} of {place.path.name} is in no function")


def _covers(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _signature(node: Function) -> tuple[type, list[str], str]:
    gives = "" if node.returns is None else ast.unparse(node.returns)
    return type(node), [argument.arg for argument in node.args.args], gives
