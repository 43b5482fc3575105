"""Tests of `uses: deploy`."""

import pytest

from netra_loop.core.redact import Redactor
from netra_loop.core.spec import ProbeSpec, ServiceSpec
from netra_loop.errors import CloudCallFailed, UsageError
from netra_loop.testing import FakeCloud


async def test_what_was_deployed_is_the_revision_under_test(bench):
    result = await bench.act("deploy")
    assert result.outcome == "ok"
    assert bench.state.revisions["backend"].name == "backend-00001-fak"
    assert bench.state.revisions["backend"].url == "http://backend-00001-fak.invalid"


async def test_a_revision_made_before_a_crash_is_adopted_and_not_made_again(bench):
    context = await bench.open("deploy")
    bench.cloud.raise_next(ConnectionResetError(), after_effect=True)
    with pytest.raises(ConnectionResetError):
        await bench.run(context)
    result = await bench.recover(context)
    assert result.outcome == "ok"
    assert list(bench.cloud.effects.values()) == [1]
    assert [(event.what, event.name) for event in await bench.events("adopted")] == [("revision", "backend-00001-fak")]


async def test_services_are_deployed_in_the_file_s_order_and_may_name_those_before(bench):
    asked = []

    class Watched(FakeCloud):
        async def deploy(self, request, progress):
            asked.append(request)
            return await super().deploy(request, progress)

    bench.tools.fake_cloud = Watched(bench.clock)
    bench.change(
        services={
            "zeta": ServiceSpec(command=("serve",), source="src", startup_probe=ProbeSpec(path="/up", timeout_s=9)),
            "alpha": ServiceSpec(command="serve --all", env={"ZETA": "${services.zeta.url}"}),
        }
    )
    await bench.act("deploy")
    assert [request.service for request in asked] == ["zeta", "alpha"]
    assert asked[0].source == str(bench.spec.base_dir / "src")
    assert (asked[0].probe_path, asked[0].probe_timeout_s) == ("/up", 9)
    assert asked[1].command == ("/bin/sh", "-c", "serve --all")
    assert asked[1].probe_path is None
    assert asked[1].env == {"ZETA": "http://zeta-00001-fak.invalid"}


async def test_a_revision_that_never_gets_ready_is_an_outcome_with_its_facts(bench):
    bench.cloud.fail_next("ContainerExited", "exit code 1")
    result = await bench.act("deploy")
    assert result.outcome == "failed"
    assert bench.state.failed_deploy == {
        "service": "backend",
        "revision": "backend-00001-fak",
        "reason": "ContainerExited",
        "message": "exit code 1",
        "log_lines": [],
        "hint": "",
    }
    assert not bench.state.revisions


async def test_nothing_after_a_failed_service_is_deployed(bench):
    bench.change(services={"one": ServiceSpec(), "two": ServiceSpec()})
    bench.cloud.fail_next("Timeout", "no answer")
    await bench.act("deploy")
    assert {service for _, _, service in bench.cloud.calls} == {"one"}


async def test_what_a_failed_container_said_is_redacted(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    bench.cloud.fail_next("ContainerExited", "bad key open-sesame")
    result = await bench.act("deploy")
    assert "open-sesame" not in result.summary
    assert "open-sesame" not in str(await bench.journal.events(bench.session))


async def test_what_is_shown_while_deploying_is_redacted(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    bench.change(services={"backend": ServiceSpec(command=("serve", "--key", "open-sesame"))})
    await bench.act("deploy")
    assert bench.watcher.said
    assert not any("open-sesame" in text for text in bench.watcher.said)


async def test_a_refusal_is_the_environment_s_failure(bench):
    bench.cloud.raise_next(CloudCallFailed("UpdateService", "PERMISSION_DENIED", "no"))
    with pytest.raises(CloudCallFailed):
        await bench.act("deploy")


@pytest.mark.parametrize("lacks", ["cloud", "services"])
async def test_nothing_to_deploy_is_the_loop_file_s_mistake(bench, lacks):
    if lacks == "cloud":
        bench.tools.fake_cloud = None
    else:
        bench.change(services={})
    with pytest.raises(UsageError, match=f"has no .*{lacks}"):
        await bench.act("deploy")


async def test_a_failed_revision_of_an_earlier_attempt_is_said_to_be_adopted(bench):
    context = await bench.open("deploy")
    bench.cloud.fail_next("HEALTH_CHECK_CONTAINER_ERROR", "did not listen")
    await bench.run(context)
    assert await bench.events("adopted") == []
    assert (await bench.recover(context)).outcome == "failed"
    assert [(event.what, event.name) for event in await bench.events("adopted")] == [("revision", "backend-00001-fak")]
