"""What was deployed stays what it was, without a repository too."""

import pytest

from netra_loop.workspace.copying import copy_aside


@pytest.fixture
def project(tmp_path):
    """A service beside what it shares with others, and what tools keep in it."""
    root = tmp_path / "project"
    for name, text in {
        "app/service/main.py": "answer = 41\n",
        "app/service/deep/data.json": "{}",
        "app/service/.git/config": "",
        "app/service/.pytest_cache/x": "",
        "app/service/__pycache__/main.pyc": "",
        "app/service/node_modules/left-pad/index.js": "",
        "app/shared/lib.py": "x = 1\n",
        "README.md": "read me\n",
        ".netra-loop/store.db": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "app/service/main.py").chmod(0o755)
    (root / "app/service/link").symlink_to("main.py")
    return root


@pytest.fixture
def copied(project, tmp_path):
    """Copies the service aside."""
    inside = tmp_path / "sources"
    inside.mkdir()
    return lambda: copy_aside(project / "app/service", project, inside, "backend")


def test_the_original_may_change(project, copied):
    first = copied()
    (project / "app/service/main.py").write_text("answer = 42\n")
    second = copied()
    assert ((first / "main.py").read_text(), (second / "main.py").read_text()) == ("answer = 41\n", "answer = 42\n")


def test_it_has_all_that_running_takes(project, copied):
    copy = copied()
    assert sorted(path.name for path in copy.iterdir()) == [
        *("__pycache__", "deep", "link", "main.py", "node_modules"),
    ]
    assert (copy / "main.py").stat().st_mode & 0o777 == 0o755
    assert (copy / "link").is_symlink()
    assert (copy / "node_modules").resolve() == project / "app/service/node_modules"
    assert (copy / "../shared/lib.py").read_text() == "x = 1\n"
    assert (copy / "../../README.md").exists()
    assert not (copy / "../../.netra-loop").exists()


def test_what_did_not_change_is_copied_once(project, copied):
    first = copied()
    (project / "app/service/__pycache__/more.pyc").write_text("")
    assert copied() == first
    (project / "app/service/deep/data.json").unlink()
    assert copied() != first


def test_a_copy_that_somebody_has_changed_is_left_and_another_made(copied):
    first = copied()
    (first / "__pycache__/main.cpython-311.pyc").write_text("")
    assert copied() == first
    (first / "main.py").write_text("answer = 43\n")
    second = copied()
    assert second != first
    assert (second / "main.py").read_text() == "answer = 41\n"
    assert copied() == second


def test_a_copy_that_was_cut_off_is_made_anew(copied, tmp_path):
    (tmp_path / "sources/backend.draft/app").mkdir(parents=True)
    assert (copied() / "main.py").exists()


def test_a_folder_that_is_not_there_is_told_by_whoever_starts_it(project, tmp_path):
    assert copy_aside(project / "gone", project, tmp_path, "backend") == project / "gone"


def test_the_whole_project_may_be_the_source_and_a_strange_folder(project, tmp_path):
    inside = project / ".netra-loop/sources"
    inside.mkdir()
    whole = copy_aside(project, project, inside, "whole")
    assert sorted(path.name for path in whole.iterdir()) == ["README.md", "app"]
    strange = copy_aside(project / "app/shared", tmp_path / "elsewhere", inside, "strange")
    assert [path.name for path in strange.iterdir()] == ["lib.py"]
