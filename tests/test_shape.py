"""Tests of the house's shape: what holds for every command, module, error, loop and page."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from typer.core import TyperGroup

from netra_loop import errors
from netra_loop.app import PHASES
from netra_loop.cli.commands import command_line
from netra_loop.core import loopfile
from netra_loop.core.outcomes import DEFAULTS, OUTCOMES
from netra_loop.core.spec import Uses

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted((ROOT / "netra_loop").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LOOPS = sorted((ROOT / "loops").glob("*.yaml"))
EXIT_CODES = {0, 1, 2, 3, 4, 5, 75, 130}

GROUP = command_line()
assert isinstance(GROUP, TyperGroup)
COMMANDS = GROUP.commands


def subclasses(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in subclasses(below))]


# -------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_does(name):
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_contract_s_commands_of_this_version_are_there():
    looking = {"list", "status", "results", "findings", "logs", "journal", "validate", "schema"}
    expected = {"run", "resume", "stop"} | looking
    assert expected <= set(COMMANDS)


def test_every_listing_speaks_json():
    for name in ("list", "status", "results", "findings", "logs", "journal"):
        assert any("--json" in parameter.opts for parameter in COMMANDS[name].params), name


def test_the_front_door_imports_nothing_heavy(tmp_path):
    heavy = ["google", "grpc", "sqlalchemy", "rich", "pydantic", "httpx", "websockets", "psutil", "asyncio"]
    code = (
        "import sys, netra_loop.cli.boundary as boundary; assert boundary._run(['validate', sys.argv[1]]) == 2;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, "x/y"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------------------------------------------- modules


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_every_error_has_an_exit_code_of_the_contract():
    for kind in subclasses(errors.NetraLoopError):
        assert kind.exit_code in EXIT_CODES - {0, 1}, kind


def test_every_error_is_in_the_tree_that_its_file_draws():
    drawn = dict(re.findall(r"(\w+) {2,}(\d+)", str(errors.__doc__)))
    ours = {
        kind.__name__: str(kind.exit_code)
        for kind in subclasses(errors.NetraLoopError)
        if kind.__module__ == errors.__name__
    }
    assert drawn == ours


# ------------------------------------------------------------------------------------------------------- the machine


@pytest.mark.parametrize("uses", get_args(Uses))
def test_every_word_of_uses_has_a_phase_and_its_outcomes(uses):
    assert uses in PHASES
    assert all(outcome in DEFAULTS for outcome in OUTCOMES[uses])


def test_there_is_no_phase_that_no_loop_could_name():
    assert set(PHASES) == set(get_args(Uses)) == set(OUTCOMES)


# ------------------------------------------------------------------------------------------------------------ loops


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.stem)
def test_every_shipped_loop_loads(path):
    spec = loopfile.load(path.read_text(encoding="utf-8"), path)
    assert spec.phases
    assert spec.description


def test_there_is_a_loop_to_begin_with():
    assert "golden-path" in [path.stem for path in LOOPS]


# ------------------------------------------------------------------------------------------------------------ pages


def test_the_readme_s_make_commands_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)", README, re.MULTILINE))
    assert named == {"golden-path", "test"}
    assert named <= targets


def test_the_readme_s_commands_and_options_exist():
    lines = re.findall(r"^netra-loop ([^#\n]+)", README, re.MULTILINE)
    assert lines
    for line in lines:
        name, *words = line.split()
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_of_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_s_plain_loop_loads(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    spec = loopfile.load(example, tmp_path / "loops" / "plain.yaml")
    assert [phase.uses for phase in spec.phases] == ["select", "execute", "record"]


def test_every_test_that_the_table_of_faults_names_is_there():
    """A row without its test would be a promise that nothing keeps."""
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    files = {ROOT / name for name in re.findall(r"\btests/[\w/]+\.py\b", page)}
    assert files
    assert [file for file in sorted(files) if not file.is_file()] == []
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r"`(test_\w+|Test\w+)`", page))
    assert {name for name in named if not re.search(rf"\b(?:def|class) {name}\b", source)} == set()
