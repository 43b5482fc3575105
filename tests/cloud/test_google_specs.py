"""What a deploy request becomes, and what stays of a service that is there."""

import pytest
from google.cloud import run_v2
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.cloud import google_specs as specs
from netra_loop.cloud.base import DeployRequest
from netra_loop.core.spec import ResourcesSpec, ScalingSpec, VpcSpec
from netra_loop.errors import CloudCallFailed

NAME = "projects/p/locations/l/services/backend"
IMAGE = "example.test/app/backend:1"


def asked(**changes):
    plain = {"service": "backend", "session": "s-20250101-120000-abcd", "iteration": 3, "source": "/src", "command": ()}
    return DeployRequest(**{**plain, **changes})


def container_of(request, present=None):
    (container,) = specs.service_of(request, NAME, present).template.containers
    return container


def theirs():
    """A service that somebody runs already, with a sidecar and much else."""
    main = run_v2.Container(
        name="app",
        image="example.test/app/backend:0",
        command=["serve"],
        env=[run_v2.EnvVar(name="DATABASE", value="db"), run_v2.EnvVar(name="MODE", value="prod")],
        ports=[run_v2.ContainerPort(name="h2c", container_port=9000)],
        resources=run_v2.ResourceRequirements(limits={"cpu": "2", "memory": "1Gi"}, cpu_idle=False),
        startup_probe=run_v2.Probe(period_seconds=5, failure_threshold=10),
        volume_mounts=[run_v2.VolumeMount(name="secrets", mount_path="/secrets")],
    )
    template = run_v2.RevisionTemplate(
        revision="backend-00007-xyz",
        labels={"team": "core", "netra-loop-session": "an-earlier-one"},
        annotations={"example.com/a": "b"},
        containers=[run_v2.Container(name="proxy", image="example.test/proxy"), main],
        volumes=[run_v2.Volume(name="secrets")],
        service_account="runtime@p.iam.gserviceaccount.com",
        session_affinity=True,
        max_instance_request_concurrency=10,
    )
    return run_v2.Service(name=NAME, etag='"7"', template=template, client="gcloud", description="ours")


def test_of_a_service_that_is_there_only_what_is_asked_for_changes():
    before = theirs()
    made = specs.service_of(asked(image=IMAGE, env={"MODE": "test"}), NAME, before)
    assert before == theirs()
    wanted = theirs()
    wanted.client, wanted.client_version = made.client, made.client_version
    wanted.template.revision = made.template.revision
    wanted.template.labels = {**wanted.template.labels, **specs.labels_of(asked())}
    main = wanted.template.containers[1]
    main.image = IMAGE
    main.ports[0].container_port = 8080
    main.env[1].value = "test"
    assert made == wanted
    assert made.template.revision.startswith("backend-00003-")


def test_everything_that_can_be_asked_for_arrives():
    request = asked(
        image=IMAGE,
        command=("python", "-m", "app"),
        port=9000,
        env={"A": "1"},
        secrets={"KEY": "api-key", "OLD": "api-key:3", "FAR": "projects/q/secrets/far"},
        labels={"commit-sha": "abc"},
        resources=ResourcesSpec(cpu="2", memory="512Mi", startup_boost=True),
        scaling=ScalingSpec(min=1, max=4),
        vpc=VpcSpec(network="net", subnet="sub", tags=("t",), egress="all-traffic"),
        concurrency=20,
        request_timeout_s=0.5,
        service_account="runtime@p.iam.gserviceaccount.com",
        probe_path="/health",
        probe_timeout_s=30.0,
        probe_period_s=2.0,
    )
    service = specs.service_of(request, NAME, None)
    template = service.template
    (container,) = template.containers
    assert (service.name, service.etag, service.client) == (NAME, "", "netra-loop")
    assert dict(template.labels) == {"commit-sha": "abc", **specs.labels_of(request)}
    assert (container.image, list(container.command), container.working_dir) == (IMAGE, ["python", "-m", "app"], "")
    assert container.ports[0].container_port == 9000
    references = {one.name: one.value_source.secret_key_ref for one in container.env if one.value_source}
    assert {name: (one.secret, one.version) for name, one in references.items()} == {
        "KEY": ("api-key", "latest"),
        "OLD": ("api-key", "3"),
        "FAR": ("projects/q/secrets/far", "latest"),
    }
    assert (container.env[0].name, container.env[0].value) == ("A", "1")
    assert dict(container.resources.limits) == {"cpu": "2", "memory": "512Mi"}
    assert (container.resources.cpu_idle, container.resources.startup_cpu_boost) == (True, True)
    assert (template.scaling.min_instance_count, template.scaling.max_instance_count) == (1, 4)
    assert template.vpc_access.network_interfaces[0].subnetwork == "sub"
    assert template.vpc_access.egress == run_v2.VpcAccess.VpcEgress.ALL_TRAFFIC
    assert template.max_instance_request_concurrency == 20
    assert run_v2.RevisionTemplate.pb(template).timeout.ToMilliseconds() == 500
    assert template.service_account == "runtime@p.iam.gserviceaccount.com"
    assert (container.startup_probe.http_get.path, container.startup_probe.failure_threshold) == ("/health", 15)
    assert specs.start_limit_s([container]) == 30


def test_what_is_not_asked_for_is_left_to_the_platform():
    service = specs.service_of(asked(image=IMAGE), NAME, None)
    (container,) = service.template.containers
    for field in ("resources", "startup_probe"):
        assert field not in container
    for field in ("scaling", "vpc_access", "timeout"):
        assert field not in service.template
    assert specs.start_limit_s([container]) == 240


def test_cpu_always_stays_as_somebody_chose_it_unless_it_is_asked_for():
    assert container_of(asked(image=IMAGE, resources=ResourcesSpec(cpu_always=True))).resources.cpu_idle is False
    kept = specs.service_of(asked(image=IMAGE, resources=ResourcesSpec(memory="2Gi")), NAME, theirs())
    resources = kept.template.containers[1].resources
    assert (dict(resources.limits), resources.cpu_idle) == ({"cpu": "2", "memory": "2Gi"}, False)


def test_a_service_from_source_is_ours_as_a_whole():
    present = specs.service_of(asked(command=("old",), env={"OLD": "1"}), NAME, None)
    container = container_of(asked(command=("new",), env={"NEW": "1"}), present)
    assert (container.image, container.working_dir, list(container.command)) == ("embedded://backend", "/src", ["new"])
    assert [one.name for one in container.env] == ["NEW"]
    assert container.startup_probe.tcp_socket.port == 8080


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": {"run.googleapis.com/x": "1"}}, r"run\.googleapis\.com/x.*belongs to the platform"),
        ({"labels": {"serving.knative.dev/x": "1"}}, "belongs to the platform"),
        ({"labels": {"netra-loop-session": "x"}}, "netra-loop's own"),
        ({"env": {"KEY": "1"}, "secrets": {"KEY": "key"}}, "by `env` and by `secrets`"),
        ({"image": None}, "no `image`"),
    ],
)
def test_what_would_be_refused_is_named_before_it_is_sent(changes, said):
    with pytest.raises(CloudCallFailed, match=said) as caught:
        specs.check(asked(**{"image": IMAGE, **changes}), emulated=False)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert not caught.value.retryable


@given(st.text(min_size=1), st.integers(1, 99999), st.from_regex(r"[a-z][a-z0-9-]{0,47}[a-z0-9]", fullmatch=True))
def test_names_and_labels_are_always_such_as_cloud_run_takes(session, iteration, service):
    request = asked(service=service, session=session, iteration=iteration)
    name = specs.revision_name(request)
    assert name.startswith(f"{service}-{iteration:05d}-")
    assert len(name) <= 63
    assert name.replace("-", "").isalnum()
    for value in specs.labels_of(request).values():
        assert 0 < len(value) <= 63
        assert value.isascii()
    assert name != specs.revision_name(asked(service=service, session=session, iteration=iteration + 1))
