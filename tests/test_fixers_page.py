"""The page about fixers says what is so: its loops load, its scripts run, its names are those of the program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from netra_loop.core import loopfile

PAGE = (Path(__file__).parent.parent / "docs" / "fixers.md").read_text(encoding="utf-8")
LOOPS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [script for script in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if script.startswith("#!")]


@pytest.mark.parametrize("text", LOOPS, ids=lambda text: re.search(r"name: (.*)", text)[1])
def test_every_loop_of_the_page_is_right(text, tmp_path):
    assert loopfile.load(text, tmp_path / "loops" / "it.yaml").phases


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "app.py").write_text("answer = 41\n")
    (tmp_path / "brief.md").write_text("F-1 wrong answer\n")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@x", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def ran(script, folder, **environ):
    given = {"PATH": "/usr/local/bin:/usr/bin:/bin", "NETRA_LOOP_BRIEF": str(folder / "brief.md"), **environ}
    return subprocess.run(["sh", "-c", script], cwd=folder, env=given, capture_output=True, text=True, check=False)


def test_the_agent_s_script_hands_over_the_brief_and_fails_without_a_change(repository):
    fix, _ = SCRIPTS
    told = ran(fix, repository, AGENT="cat")
    assert (told.returncode, "F-1 wrong answer\nthe agent changed nothing" in told.stdout) == (1, True)
    assert ran(fix, repository, AGENT="sed -i s/41/42/ service/app.py").returncode == 0


def test_the_gate_says_no_to_what_hides_a_fault(repository):
    _, audit = SCRIPTS
    python = "#!/bin/sh\nexit 0\n"
    (repository / "python").write_text(python)
    (repository / "python").chmod(0o755)
    path = f"{repository}:/usr/bin:/bin"
    (repository / "service" / "app.py").write_text("answer = 42\n")
    assert ran(audit, repository, PATH=path).returncode == 0
    (repository / "service" / "app.py").write_text("import time\ntime.sleep(3)\nanswer = 41\n")
    assert ran(audit, repository, PATH=path).returncode == 1
