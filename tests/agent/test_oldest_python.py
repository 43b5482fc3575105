"""What runs in the tests' interpreter is older Python than the rest: 3.9."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import netra_loop.agent

MODULES = sorted(Path(netra_loop.agent.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_agent_is_written_for_the_oldest_interpreter_that_tests_may_have(module):
    tree = ast.parse(module.read_text(), feature_version=(3, 9))
    imported = {name for node in tree.body if isinstance(node, ast.ImportFrom) for name in [node.module]}
    uses_annotations = any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)
    assert not uses_annotations or "__future__" in imported, "annotations would be evaluated, and some are newer"
