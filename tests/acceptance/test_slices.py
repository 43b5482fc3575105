"""A loop in slices, as a schedule drives it: `run --continue --budget`, again and again."""

from __future__ import annotations

LOOP = """
version: 1
name: night
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 1, retries: 0}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record}
goal: {authenticity: off}
"""
TESTS = """
import pathlib, time, pytest

@pytest.mark.parametrize("number", range(4))
def test_takes_its_time(number):
    with pathlib.Path("ran.txt").open("a") as file:
        file.write(f"{number}\\n")
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
"""


def test_slices_go_on_with_one_session_until_it_ends_and_the_next_begins_another(project):
    for name, text in {"loops/night.yaml": LOOP, "tests/test_a.py": TESTS}.items():
        (project.folder / name).parent.mkdir()
        (project.folder / name).write_text(text)
    once = ["run", "night", "--continue", "--plain"]

    first = project.call(*once, "--budget", "3s")
    assert first.returncode == 75
    session = project.status()["session"]
    assert first.stderr.splitlines()[-2:] == ["paused: the budget of 3s is used up", f"netra-loop resume {session}"]

    second = project.call(*once, "--budget", "3s")  # which is its own, whatever the first one took
    assert (second.returncode, project.status()["session"]) == (75, session)
    began = (project.folder / "ran.txt").read_text().split()  # the test that was under way, each time

    (project.folder / "go").touch()
    last = project.call(*once, "--budget", "5h30m")
    assert (last.returncode, project.status()["session"]) == (0, session)
    assert (project.folder / "ran.txt").read_text().split() == [*began, "0", "1", "2", "3"]
    assert set(began) <= {"0"}
    events = [row["event"] for row in project.json("journal", session)]
    assert (events.count("session_paused"), events.count("session_resumed")) == (2, 2)
    assert "waited" not in events

    assert project.call(*once).returncode == 0
    assert project.status()["session"] != session
