"""Tests of the build before a deploy."""

from __future__ import annotations

import asyncio
import sys

import pytest

from netra_loop.clock import SystemClock
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import EnvironmentSpec, ResourcesSpec, ServiceSpec, VpcSpec
from netra_loop.errors import UsageError
from netra_loop.testing import FakeCloud

IMAGE = "europe-docker.pkg.dev/acme/app/backend:1"


@pytest.fixture
def google(bench):
    """The loop deploys images to a project; the build writes down each time it runs."""
    bench.change(environments={"local": EnvironmentSpec(cloud="google", project="acme", region="europe-west1")})
    bench.tools.environ["PATH"] = "/usr/bin:/bin"
    bench.clock = SystemClock()  # a build takes its own time
    bench.cloud = bench.tools.fake_cloud = FakeCloud(bench.clock)
    return bench


def build(bench, command, /, **more):
    bench.change(services={"backend": ServiceSpec(image=IMAGE, build=command, **more)})


def runs(bench):
    ran = bench.spec.root_dir / "ran"
    return ran.read_text().split("\n")[:-1] if ran.exists() else []


async def test_the_image_is_built_and_deployed(google):
    build(google, "echo ${image} ${source} >> ran", source="svc")
    assert (await google.act("deploy")).outcome == "ok"
    assert runs(google) == [f"{IMAGE} {google.spec.base_dir / 'svc'}"]
    (request,) = google.cloud.asked
    assert (request.image, request.command) == (IMAGE, ())
    assert google.state.built == {"backend": IMAGE}


async def test_all_that_a_service_says_is_asked_for(google):
    spec = ServiceSpec(
        image=IMAGE,
        entrypoint=("serve", "${vars.mode}"),
        command=("not", "this"),
        env={"A": "1"},
        secrets={"KEY": "projects-key:3"},
        labels={"team": "core"},
        resources=ResourcesSpec(cpu="2"),
        vpc=VpcSpec(network="${vars.mode}-net"),
        concurrency=5,
        request_timeout_s=60.0,
        service_account="${vars.mode}@acme.iam",
    )
    google.change(services={"backend": spec}, vars={"mode": "fast"})
    await google.act("deploy")
    (request,) = google.cloud.asked
    assert request.command == ("serve", "fast")
    assert (request.secrets, request.labels) == ({"KEY": "projects-key:3"}, {"team": "core"})
    assert (request.resources.cpu, request.vpc.network, request.concurrency) == ("2", "fast-net", 5)
    assert (request.request_timeout_s, request.service_account) == (60.0, "fast@acme.iam")


@pytest.mark.parametrize(
    ("environment", "image"),
    [
        (EnvironmentSpec(), None),
        (EnvironmentSpec(cloud="google", endpoint="http://127.0.0.1:9010"), None),
        (EnvironmentSpec(cloud="google", project="acme", region="x"), IMAGE),
    ],
)
async def test_where_a_command_is_started_nothing_is_built_and_no_image_named(google, environment, image):
    build(google, "echo built >> ran", command=("serve",))
    google.change(environments={"local": environment})
    await google.act("deploy")
    assert google.cloud.asked[0].image == image
    assert google.cloud.asked[0].command == (() if image else ("serve",))
    assert len(runs(google)) == bool(image)


async def test_an_emulator_is_given_the_image_of_a_service_without_a_command(google):
    build(google, "true")
    google.change(environments={"local": EnvironmentSpec(cloud="google", endpoint="http://127.0.0.1:9010")})
    await google.act("deploy")
    assert google.cloud.asked[0].image == IMAGE


async def test_a_build_that_fails_is_a_finding_with_its_last_lines_and_changes_nothing(google):
    build(google, "echo step one; echo no such base image >&2; exit 3")
    result = await google.act("deploy")
    assert (result.outcome, result.facts["reason"]) == ("failed", "BuildFailed")
    assert result.facts["log_lines"] == ["step one", "no such base image"]
    assert google.cloud.asked == []
    (finding,) = await google.journal.findings(google.session)
    assert (finding.symptom, finding.cause) == ("deploy", "deploy")
    assert "build of backend failed" in finding.title
    assert any("no such base image" in why for why in finding.whys)
    assert any("exit code 3" in why for why in finding.whys)
    assert (await google.act("collect-logs", settle_s=5.0)).outcome == "ok"  # there is no revision to read of


async def test_every_image_is_built_before_any_service_is_changed(google):
    good = ServiceSpec(image=IMAGE, build="true")
    google.change(services={"good": good, "bad": ServiceSpec(image=IMAGE, build="false")})
    assert (await google.act("deploy")).outcome == "failed"
    assert google.cloud.asked == []


async def test_a_build_that_takes_too_long_is_ended(google):
    command = (sys.executable, "-c", "import time; print('started', flush=True); time.sleep(600)")
    build(google, command, build_timeout_s=0.2)
    result = await google.act("deploy")
    assert "did not end within 0.2s" in str(result.facts["message"])


async def test_what_it_prints_is_redacted(google):
    google.tools.redactor = Redactor(["open-sesame"])
    build(google, "echo login open-sesame; exit 1")
    await google.act("deploy")
    assert "open-sesame" not in str(await google.journal.events(google.session))
    assert "open-sesame" not in str(google.watcher.said)


async def test_after_a_crash_a_build_that_succeeded_is_not_repeated(google):
    build(google, "echo built >> ran")
    context = await google.open("deploy")
    google.cloud.raise_next(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await google.run(context)
    assert (await google.recover(context)).outcome == "ok"
    assert runs(google) == ["built"]
    google.iteration = 2
    await google.act("deploy")
    assert len(runs(google)) == 2


async def test_a_command_that_does_not_exist_is_the_loop_file_s_mistake(google):
    build(google, ("no-such-builder", "now"))
    with pytest.raises(UsageError, match="cannot start 'no-such-builder'"):
        await google.act("deploy")
