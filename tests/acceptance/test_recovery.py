"""From red to green: fixers change source, and what they claim is judged by a newer revision, whatever is killed."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

AT = "select count(*) from events where iteration = {} and phase = '{}' and event = '{}'"
MOMENTS = [(1, "fix", "workspace_saved"), (1, "commit", "phase_started"), (2, "compare", "revision_tagged")]
FACTORY = "loops/recovery/service/agent_backend/orchestrator_factory.py"


def checkout(demo):
    """Every file of it, by its hash."""
    files = sorted(path for path in (demo.folder / "loops").rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def workspace(demo):
    return demo.folder / ".netra-loop" / "sessions" / demo.status()["session"] / "workspace"


def git(demo, *words):
    done = subprocess.run(["git", *words], cwd=workspace(demo), check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def with_one_tier(demo):
    """A third of the tests; all of them are run by `make recovery` and `make kills`."""
    loop = demo.folder / "loops" / "recovery.yaml"
    kept, _, rest = loop.read_text().partition("  - name: P2")
    kept = kept.replace("[golden-path/tests]", "[golden-path/tests/test_priority1_critical.py]")
    loop.write_text(f"{kept}\n{rest[rest.index('journeys:') :]}")


@pytest.fixture(scope="module")
def killed(shared_demo):
    """The demo with its first tier, killed while a fixer works, while its change is committed, and while two revisions
    are compared; gone on with each time. It is looked at from more than one side.
    """
    with_one_tier(shared_demo)
    before = checkout(shared_demo)
    words = ["run", "recovery"]
    for iteration, phase, event in MOMENTS:
        process = shared_demo.start(*words, "--plain")
        question = AT.format(iteration, phase, event)
        reached = shared_demo.wait_until(lambda question=question: shared_demo.stored(question) >= 1, process)
        assert reached, process.stderr.read()
        shared_demo.kill_group(process)
        assert shared_demo.wait_for_nobody() == []
        words = ["resume"]
    done = shared_demo.call("resume", "--plain")
    assert checkout(shared_demo) == before
    return done


def happened(demo, event):
    return [row for row in demo.json("journal", "latest") if row["event"] == event]


def test_a_wrong_fix_is_refuted_and_the_right_one_meets_the_goal(killed, shared_demo):
    demo = shared_demo
    assert killed.returncode == 0, killed.stderr
    assert (demo.status()["state"], demo.status()["iteration"]) == ("met", 3)
    assert all(tier["met"] for tier in demo.status()["tiers"])
    (finding,) = demo.json("findings", "latest")
    assert (finding["state"], finding["root_cause"]["exception"]) == ("fixed", "AttributeError")
    assert finding["root_cause"]["file"].endswith("agent_service_core.py")
    assert [(claim["iteration"], claim["verdict"]) for claim in finding["claims"]] == [(1, "refuted"), (2, "verified")]
    judged = [row["detail"]["findings"] for row in happened(demo, "goal_judged")]
    assert [{state: count for state, count in counts.items() if count} for counts in judged] == [
        {"new": 1}, {"persisting": 1}, {"fixed": 1}
    ]  # fmt: skip


def test_killed_at_any_moment_there_is_one_of_each(killed, shared_demo):
    """One commit for each fix, one revision for each deploy, one word on each of them."""
    demo = shared_demo
    assert killed.returncode == 0
    commits = [row["detail"]["commit"] for row in happened(demo, "committed")]
    assert git(demo, "log", "--format=%H", "--reverse")[1:] == commits
    assert git(demo, "log", "--format=%s", "--reverse")[1:] == [
        "Give orchestrator_for more time", "Make what orchestrator_for gives by create_execution_orchestrator"
    ]  # fmt: skip
    assert [git(demo, "diff", "--name-only", f"{one}~", one) for one in commits] == [[FACTORY]] * 2
    assert [line for line in git(demo, "status", "--short") if "__pycache__" not in line] == []
    assert len({row["detail"]["revision"] for row in happened(demo, "revision_ready")}) == 3
    assert [row["iteration"] for row in happened(demo, "revisions_compared")] == [1, 2, 3]
    assert [(row["iteration"], row["attempt"]) for row in happened(demo, "fixer_ran")] == [(1, 1), (2, 1), (2, 2)]
    ended = [(row["iteration"], row["phase"], row["attempt"]) for row in happened(demo, "phase_finished")]
    assert len(ended) == len(set(ended))
    assert len(happened(demo, "session_ended")) == 1
    assert demo.wait_for_nobody() == []


def test_the_audit_sends_a_fix_that_hides_the_failure_back(killed, shared_demo):
    assert killed.returncode == 0
    audits = [(row["iteration"], row["attempt"], row["outcome"]) for row in happened(shared_demo, "phase_finished")
              if row["phase"] == "audit"]  # fmt: skip
    assert audits == [(1, 1, "ok"), (2, 1, "failed"), (2, 2, "ok")]


def test_a_fixer_that_edits_the_tests_is_caught_by_the_seal(demo):
    done = demo.call("run", "recovery", "--plain", "--var", "fixer=cheat", "--only", "P1")
    assert done.returncode == 1, done.stderr
    (fix,) = [row for row in happened(demo, "phase_finished") if row["phase"] == "fix"]
    assert fix["outcome"] == "failed"
    assert "test_priority1_critical.py" in fix["detail"]["summary"]
    assert '+@pytest.mark.skip(reason="flaky on staging")' in fix["detail"]["facts"]["diff"]
    assert happened(demo, "committed") == []
    assert [line for line in git(demo, "status", "--short") if "__pycache__" not in line] == []
    assert len(git(demo, "log", "--format=%H")) == 1


BAD_FIXERS = """
name: night
environments: {here: {cloud: none}}
workspace: {git: copy}
tests: {paths: [../tests], timeout: 20s}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {unmet: hangs}}
  hangs: {uses: run, with: {command: "sleep 300", timeout: 1s}, next: {failed: strays}}
  strays: {uses: run, with: {command: "echo x > src/app.py; echo x > README"}, next: {failed: floods}}
  floods:
    uses: run
    with: {command: "head -c 1000000000 /dev/zero > src/big", timeout: 2m}
    next: {failed: lacks}
  lacks: {uses: run, with: {command: [./not-there]}, next: {failed: good}}
  good: {uses: run, with: {command: "echo good > src/app.py; exit 0"}}
  commit: {uses: commit, with: {paths: [../src]}}
goal: {authenticity: off}
"""


def test_fixers_that_hang_stray_flood_or_are_not_there_fail_by_name_and_leave_nothing(project):
    for name, text in {
        "loops/night.yaml": BAD_FIXERS,
        "tests/test_a.py": "def test_a(): assert open('src/app.py').read() == 'good'",
        "src/app.py": "bad",
    }.items():
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text(text)

    done = project.call("run", "night", "--plain")

    assert done.returncode == 1, done.stderr
    ended = {row["phase"]: row["detail"] for row in happened(project, "phase_finished")}
    outcomes = {row["phase"]: row["outcome"] for row in happened(project, "phase_finished")}
    bad = {name: outcomes[name] for name in ("hangs", "strays", "floods", "lacks")}
    assert bad == dict.fromkeys(bad, "failed")
    assert "did not end within 1s" in ended["hangs"]["summary"]
    assert "README" in ended["strays"]["summary"]
    assert "src/big" in ended["floods"]["summary"]
    assert "./not-there" in ended["lacks"]["summary"]
    (commit,) = happened(project, "committed")
    assert commit["detail"]["paths"] == ["src/app.py"]
    assert git(project, "status", "--short") == []
    assert (project.folder / "src" / "app.py").read_text() == "bad"
    kept = sum(path.stat().st_size for path in (project.folder / ".netra-loop").rglob("*") if path.is_file())
    assert kept < 20_000_000
    assert project.wait_for_nobody() == []
