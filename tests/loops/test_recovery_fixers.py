"""The recovery demo's fixers and its audit: the brief leads them, and where it leads nowhere they change nothing."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LOOPS = Path(__file__).resolve().parents[2] / "loops"
SERVICE = "loops/recovery/service/agent_backend"
CORE, FACTORY = f"{SERVICE}/agent_service_core.py", f"{SERVICE}/orchestrator_factory.py"
TEST = "loops/golden-path/tests/test_priority1_critical.py"
RUNS = """
import asyncio
from agent_backend.agent_websocket_bridge import AgentWebSocketBridge
from agent_backend.orchestrator_factory import OrchestratorFactory

made = asyncio.run(OrchestratorFactory(AgentWebSocketBridge()).orchestrator_for("u", "assistant"))
print(type(made).__name__, getattr(made, "user_id", None))
"""


@dataclass
class Workspace:
    """A session's workspace, and what a brief says of the demo's defect there."""

    root: Path
    attempts: list[dict[str, object]] = field(default_factory=list)
    said_no: dict[str, str] | None = None

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout

    def text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def fix(self, kind: str = "honest", message: str = "'NoneType' object has no attribute 'execute'") -> int:
        """Its exit code; `note` and `claim` are beside it."""
        lines = self.git("show", f"HEAD:{CORE}").splitlines()  # as it was deployed
        line = next(number for number, text in enumerate(lines, 1) if "orchestrator.execute(" in text)
        cause = {"function": "_execute", "exception": "AttributeError", "message": message}
        finding = {
            "id": "F-1",
            "root_cause": cause,
            "place": {"path": CORE, "line": line},
            "attempts": self.attempts,
            "test_ids": [f"{TEST}::test_008_agent_progression_from_start_to_answer", "journey::agent-progression"],
        }
        beside = self.root.parent
        (beside / "brief.json").write_text(json.dumps({"findings": [finding], "said_no": self.said_no}))
        given = {
            "NETRA_LOOP_WORKSPACE": str(self.root),
            "NETRA_LOOP_BRIEF_JSON": str(beside / "brief.json"),
            "NETRA_LOOP_NOTE": str(beside / "note"),
            "NETRA_LOOP_CLAIM": str(beside / "claim"),
        }
        script = [sys.executable, "loops/recovery/fixers/fix.py", kind]
        return subprocess.run(script, cwd=self.root, env={**os.environ, **given}, check=False).returncode

    def audit(self) -> tuple[int, str]:
        script = [sys.executable, "loops/recovery/fixers/audit.py", "loops/recovery/service"]
        done = subprocess.run(script, cwd=self.root, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout

    def changed(self) -> list[str]:
        return self.git("diff", "--name-only").split()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    shutil.copytree(LOOPS, made.root / "loops", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    (made.root / ".gitignore").write_text("__pycache__\n")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "begin"]):
        made.git(*words)
    return made


def test_the_defect_is_in_the_code(workspace):
    assert ran(workspace) == "NoneType None"


def test_a_new_problem_is_met_with_a_guess(workspace):
    assert workspace.fix() == 0
    assert workspace.changed() == [FACTORY]
    assert "START_TIMEOUT_S = 0.4" in workspace.text(FACTORY)
    assert json.loads((workspace.root.parent / "claim").read_text()) == ["F-1"]
    assert (workspace.root.parent / "note").read_text().startswith("Give orchestrator_for more time\n\n")
    assert workspace.audit()[0] == 0
    assert ran(workspace) == "NoneType None"


def test_what_outlived_a_fix_is_hidden_and_the_audit_sees_it(workspace):
    workspace.attempts = [{"helped": False, "changed": [FACTORY]}]
    assert workspace.fix() == 0
    assert workspace.changed() == [CORE]
    ast.parse(workspace.text(CORE))
    code, said = workspace.audit()
    assert code == 1
    assert "catches AttributeError" in said


def test_after_the_audit_s_no_the_factory_is_mended(workspace):
    workspace.attempts = [{"helped": False, "changed": [FACTORY]}]
    workspace.fix()
    workspace.attempts += [{"helped": None, "changed": [CORE]}]
    workspace.said_no = {"phase": "audit", "summary": "exit code 1", "output": "no"}
    assert workspace.fix() == 0
    assert workspace.changed() == [FACTORY]
    assert workspace.audit()[0] == 0
    assert ran(workspace) == "RequestScopedOrchestrator u"


def test_a_brief_that_leads_nowhere_changes_nothing(workspace):
    assert workspace.fix(message="division by zero") == 1
    (workspace.root / FACTORY).unlink()
    workspace.git("commit", "--quiet", "-a", "-m", "without it")
    assert workspace.fix() == 1
    assert workspace.changed() == []


def test_the_audit_wants_a_change_that_is_python(workspace):
    assert workspace.audit() == (1, "no: nothing in loops/recovery/service was changed\n")
    (workspace.root / FACTORY).write_text("def (")
    assert "is no Python" in workspace.audit()[1]


def test_the_cheat_makes_failing_tests_say_nothing(workspace):
    assert workspace.fix("cheat") == 0
    assert workspace.changed() == [TEST]
    marked = [node for node in ast.walk(ast.parse(workspace.text(TEST))) if getattr(node, "decorator_list", [])]
    assert [node.name for node in marked] == ["test_008_agent_progression_from_start_to_answer"]


def ran(workspace: Workspace) -> str:
    """What a run would get for an orchestrator."""
    path = [workspace.root / "loops/recovery/service", workspace.root / "loops/golden-path/service"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", RUNS], env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()
