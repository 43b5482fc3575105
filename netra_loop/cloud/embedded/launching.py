"""A revision resource -> how its process is started."""

from __future__ import annotations

from pathlib import Path

from google.cloud import run_v2

from netra_loop.cloud.embedded.checks import revision_id
from netra_loop.cloud.embedded.container_checks import cpus, memory, request_timeout_s
from netra_loop.cloud.embedded.instance import Launch
from netra_loop.cloud.embedded.probe import ProbePlan
from netra_loop.cloud.embedded.recorder import Origin

_DEFAULT_PORT = 8080
_CONCURRENCY = 80
_MOST = 100
_DEFAULT_PROBE = ProbePlan(path=None, delay_s=0, period_s=240, try_s=240, whole_s=240, custom=False)


def launch_of(service: run_v2.Service, revision: run_v2.Revision, mark: str) -> Launch:
    """What `revision`, once checked, asks for."""
    container = revision.containers[0]
    least, most = _limits(service, revision)
    _, project, _, location, *_ = revision.name.split("/")
    return Launch(
        origin=Origin(
            project=project,
            location=location,
            service=revision.service,
            revision=revision_id(revision.name),
            labels={**service.labels, **revision.labels},
        ),
        command=(*container.command, *container.args),
        cwd=Path(container.working_dir or "."),
        env={variable.name: variable.value for variable in container.env if "value_source" not in variable},
        port=container.ports[0].container_port if container.ports else _DEFAULT_PORT,
        probe=_probe_of(container.startup_probe) if "startup_probe" in container else _DEFAULT_PROBE,
        request_timeout_s=request_timeout_s(revision),
        mark=mark,
        image=container.image,
        secrets={
            variable.name: (variable.value_source.secret_key_ref.secret, variable.value_source.secret_key_ref.version)
            for variable in container.env
            if "value_source" in variable
        },
        concurrency=revision.max_instance_request_concurrency or _default_concurrency(container),
        least=least,
        most=most,
        memory=memory(container),
    )


def _limits(service: run_v2.Service, revision: run_v2.Revision) -> tuple[int, int]:
    """The least and the most instances, of the revision and its service together."""
    scaling = service.scaling
    if scaling.manual_instance_count:
        return scaling.manual_instance_count, scaling.manual_instance_count
    most = [count for count in (revision.scaling.max_instance_count, scaling.max_instance_count) if count]
    return max(revision.scaling.min_instance_count, scaling.min_instance_count), min(most, default=_MOST)


def _default_concurrency(container: run_v2.Container) -> int:
    """80, or 1 where there is less than one CPU."""
    return 1 if cpus(container) < 1 else _CONCURRENCY


def _probe_of(probe: run_v2.Probe) -> ProbePlan:
    period_s = float(probe.period_seconds or 10)
    return ProbePlan(
        path=(probe.http_get.path or "/") if "http_get" in probe else None,
        delay_s=float(probe.initial_delay_seconds),
        period_s=period_s,
        try_s=float(probe.timeout_seconds or 1),
        whole_s=period_s * (probe.failure_threshold or 3),
        custom=True,
    )
