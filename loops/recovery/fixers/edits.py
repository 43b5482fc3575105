"""What a fixer may do to code: each edit changes a file in the workspace and says what it did, in a few words and in a
sentence.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import trail
from trail import Definition, NotThereError, Place


def raise_timeout(given: Definition) -> tuple[str, str]:
    """Doubles the timeout that the function reads."""
    text = given.path.read_text(encoding="utf-8")
    read = {node.id for node in ast.walk(given.node) if isinstance(node, ast.Name)}
    for node in trail.tree_of(given.path).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        name, was = ast.unparse(node.targets[0]), node.value.value
        if name in read and "TIMEOUT" in name:
            more = f"{name} = {was * 2}{_comment(text, node.lineno)}"
            _write(given.path, text, node.lineno, [more], node.lineno)
            told = f"{name} in {given.path.name} is {was * 2} s instead of {was} s"
            return f"Give {given.node.name} more time", told
    raise NotThereError(f"{given.node.name!r} in {given.path.name} reads no timeout")


def swallow(place: Place) -> tuple[str, str]:
    """Catches what the failing statement raises, and goes on with nothing."""
    text = place.path.read_text(encoding="utf-8")
    node = trail.failing_statement(place)
    indent = " " * node.col_offset
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    wrapped = [f"{indent}try:", *(f"    {line}" for line in lines)]
    wrapped += [f"{indent}except {place.exception}:", f"{indent}    return None"]
    _write(place.path, text, node.lineno, wrapped, node.end_lineno or node.lineno)
    told = f"{place.function} in {place.path.name} gives nothing where it raised {place.exception}"
    return f"Catch the {place.exception} in {place.function}", told


def make_anew(given: Definition) -> tuple[str, str]:
    """Lets the function make what it gives, where it read an attribute that nothing sets."""
    tree = trail.tree_of(given.path)
    read = [node.value for node in ast.walk(given.node) if isinstance(node, ast.Return)][-1]
    if not isinstance(read, ast.Attribute) or not isinstance(read.value, ast.Attribute):
        raise NotThereError(f"{given.node.name!r} gives no attribute of something that it holds")
    if trail.is_ever_set(read.attr, given.path.parent.name):
        raise NotThereError(f"{read.attr!r} is set somewhere, so that it is read is no mistake")
    makers = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            try:
                makers.append(trail.maker_like(given, node.module))
            except NotThereError:
                continue
    if not makers:
        raise NotThereError(f"nothing that {given.path.name} imports makes what {given.node.name!r} gives")
    maker = makers[0].node
    arguments = ", ".join(argument.arg for argument in given.node.args.args[1:])
    wait = "await " if isinstance(maker, ast.AsyncFunctionDef) else ""
    call = f"{wait}{ast.unparse(read.value)}.{maker.name}({arguments})"
    body = given.node.body[1:] if ast.get_docstring(given.node) else given.node.body
    text = given.path.read_text(encoding="utf-8")
    _write(given.path, text, body[0].lineno, [f"{' ' * body[0].col_offset}return {call}"], body[-1].end_lineno or 0)
    _tidy(given.path)
    told = (
        f"{given.node.name} in {given.path.name} read {read.attr}, which nothing ever sets; it calls {maker.name} now"
    )
    return f"Make what {given.node.name} gives by {maker.name}", told


def skip(test: str) -> str:
    """Marks a test as skipped; its name."""
    file, _, name = test.partition("::")
    path = trail.WORKSPACE / file
    name = re.sub(r"\[.*", "", name.rpartition("::")[2])
    text = path.read_text(encoding="utf-8")
    mark = '@pytest.mark.skip(reason="flaky on staging")\n'
    changed = re.sub(rf"^(?=def {re.escape(name)}\()", mark, text, flags=re.MULTILINE)
    if changed == text:
        raise NotThereError(f"{file} defines no {name!r}")
    path.write_text(changed, encoding="utf-8")
    return name


def _tidy(path: Path) -> None:
    """Takes out the module's imports and constants that nothing reads any more."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in reversed(tree.body):
        if isinstance(node, ast.Import):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            names = {to.id for to in node.targets if isinstance(to, ast.Name)}
        else:
            continue
        if not names & read:
            _write(path, path.read_text(encoding="utf-8"), node.lineno, [], node.end_lineno or node.lineno)
    lines = re.sub(r"\n{4,}", "\n\n\n", path.read_text(encoding="utf-8"))
    path.write_text(re.sub(r"(\nfrom __future__[^\n]*\n)\n+", r"\1\n", lines), encoding="utf-8")


def _comment(text: str, line: int) -> str:
    _, hash_, said = text.splitlines()[line - 1].partition("#")
    return f"  {hash_}{said}" if hash_ else ""


def _write(path: Path, text: str, first: int, instead: list[str], last: int) -> None:
    """Puts lines in the place of those from `first` to `last`, counted from 1."""
    lines = text.splitlines()
    lines[first - 1 : last] = instead
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
