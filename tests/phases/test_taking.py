"""What a revision is made from stays as it is, and it is told what that is."""

from pathlib import Path

import pytest

from netra_loop.core.spec import EnvironmentSpec, ServiceSpec
from netra_loop.phases.known import sources

PATHS = ("../service",)
FIX = 'echo "answer = 42" > service/app.py'


def deployed(bench):
    """What the newest deploy was to start from."""
    return Path(bench.cloud.asked[-1].source)


async def deploy(bench, uses="deploy"):
    """By a clock of the cloud's own: nobody answers at its URLs, however long one waits."""
    bench.clock, real = bench.cloud._clock, bench.clock
    result = await bench.act(uses)
    bench.clock = real
    return result


@pytest.fixture
def served(bench):
    """The loop's service lies beside its folder."""
    bench.change(services={"backend": ServiceSpec(command=("serve",), source="../service")})
    return bench


@pytest.mark.parametrize("kind", ["copy", "worktree"])
async def test_a_revision_is_its_commit_whatever_is_committed_later(served, fixing, kind):
    await fixing(kind)
    base = served.state.head
    await deploy(served)
    await served.act("run", command=FIX, paths=PATHS)
    made = (await served.act("commit", paths=PATHS)).facts["commit"]
    served.iteration = 2
    await deploy(served)
    first, second = (Path(request.source) / "app.py" for request in served.cloud.asked)
    assert (first.read_text(), second.read_text()) == ("answer = 41\n", "answer = 42\n")
    assert [(one.iteration, one.commit) for one in served.state.deployed] == [(1, base), (2, made)]


async def test_what_nobody_committed_is_not_in_it_and_is_told(served, fixing):
    await fixing()
    await served.act("run", command=FIX, paths=PATHS)
    await deploy(served)
    assert (deployed(served) / "app.py").read_text() == "answer = 41\n"
    (taken,) = await served.events("source_taken")
    assert taken.left_out == ("service/app.py",)
    assert "not in this revision, for nobody has committed it: service/app.py" in served.watcher.said


async def test_without_a_workspace_it_is_what_lay_there_then(served, fixing):
    await fixing()
    served.tools.workspace = None
    served.spec = served.spec.placed_at(served.spec.home_dir)
    source = served.spec.base_dir.parent / "service/app.py"
    await deploy(served)
    source.write_text("answer = 43\n")
    assert (deployed(served) / "app.py").read_text() == "answer = 41\n"
    assert served.state.deployed[-1].commit is None
    served.iteration = 2
    await deploy(served)
    assert (deployed(served) / "app.py").read_text() == "answer = 43\n"


async def test_a_deploy_that_was_cut_off_goes_on_with_what_it_began_with(served, fixing):
    await fixing()
    served.tools.workspace = None
    served.spec = served.spec.placed_at(served.spec.home_dir)
    served.clock = served.cloud._clock
    context = await served.open("deploy")
    served.cloud.raise_next(ConnectionResetError(), after_effect=True)
    with pytest.raises(ConnectionResetError):
        await served.run(context)
    (served.spec.base_dir.parent / "service/app.py").write_text("answer = 43\n")
    assert (await served.recover(context)).outcome == "ok"
    first, second = (request.source for request in served.cloud.asked)
    assert first == second
    assert len(await served.events("source_taken")) == 1


async def test_an_image_is_built_from_the_commit_and_in_its_midst(served, fixing):
    root = await fixing()
    google = EnvironmentSpec(cloud="google", project="acme", region="europe-west1")
    build = f"cat ${{source}}/app.py > {root.parent}/built; pwd >> {root.parent}/built"
    spec = ServiceSpec(image="x.dev/acme/app:1", build=build, source="../service")
    served.change(environments={"local": google}, services={"backend": spec})
    served.cloud._clock = served.clock  # a build takes its own time
    (root / "service/app.py").write_text("broken(\n")
    assert (await deploy(served)).outcome == "ok"
    text, where = (root.parent / "built").read_text().splitlines()
    assert text == "answer = 41"
    assert Path(where).is_relative_to(root.parent / "sources")


async def test_an_image_that_is_not_built_here_is_said_to_be_just_that(served, fixing):
    root = await fixing()
    google = EnvironmentSpec(cloud="google", project="acme", region="europe-west1")
    spec = ServiceSpec(image="x.dev/acme/app:1", source="../service")
    served.change(environments={"local": google}, services={"backend": spec})
    (root / "service/app.py").write_text("answer = 42\n")
    await deploy(served)
    (taken,) = await served.events("source_taken")
    assert (taken.image, taken.left_out) == ("x.dev/acme/app:1", ())
    assert not [said for said in served.watcher.said if "not in this revision" in said]


async def test_a_place_is_known_wherever_a_revision_ran(served, fixing):
    await fixing()
    await deploy(served)
    source = sources(served.context("record"))["backend"]
    sessions = served.tools.folder.parent
    for folder in (
        *(deployed(served), served.spec.base_dir.parent / "service"),
        sessions / "night-20251231-000000-wxyz/sources/0123456789abcdef/service",
    ):
        assert source.relative(f"{folder}/deep/app.py") == "deep/app.py"
    assert source.relative("/elsewhere/service/app.py") is None
    assert source.relative(f"{deployed(served)}/venv/lib/python3.11/site-packages/x.py") is None


async def test_what_was_only_attached_to_is_of_no_commit(served, fixing):
    await fixing()
    await deploy(served)
    served.iteration = 2
    await deploy(served, "attach")
    assert [(one.iteration, one.made) for one in served.state.deployed] == [(1, True), (2, False)]
    assert served.state.deployed[-1].commit is None


async def test_the_tests_are_the_workspaces(served, fixing):
    root = await fixing()
    await deploy(served)
    served.tests(test_it=[])
    await served.act("select")
    assert served.tools.asked[0].root == root
    await served.act("run", command="true")
    assert served.tools.renewed == 1
