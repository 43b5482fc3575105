"""What we ask of Cloud Run: the name and the labels of a revision, and the service that a deploy request stands for.

A service that is there already belongs to somebody: what a request says replaces what is there, everything else stays
as it was read. Only a service that the embedded cloud starts from source is ours as a whole.
"""

from __future__ import annotations

import hashlib
import math
import re

from google.cloud import run_v2
from google.protobuf import duration_pb2

from netra_loop import __version__
from netra_loop.cloud.base import LABEL_ITERATION, LABEL_SESSION, DeployRequest
from netra_loop.core.spec import VpcSpec
from netra_loop.errors import CloudCallFailed

CLIENT = "netra-loop"
FROM_SOURCE = "embedded://"
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_OWNED_PREFIXES = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_LONGEST_PROBE_S = 240
_EGRESS = {
    None: run_v2.VpcAccess.VpcEgress.VPC_EGRESS_UNSPECIFIED,
    "all-traffic": run_v2.VpcAccess.VpcEgress.ALL_TRAFFIC,
    "private-ranges-only": run_v2.VpcAccess.VpcEgress.PRIVATE_RANGES_ONLY,
}


def labels_of(request: DeployRequest) -> dict[str, str]:
    """What says that a revision was made for this session and iteration."""
    return {LABEL_SESSION: _label(request.session), LABEL_ITERATION: str(request.iteration)}


def revision_name(request: DeployRequest) -> str:
    """`SERVICE-NNNNN-xxxxxx`: the iteration, and what this session and iteration always give.

    Nothing but the intent goes into it, so that it is known before anything is asked, and Cloud Run itself refuses a
    second revision for the same intent.
    """
    digest = hashlib.sha256(f"{request.session}/{request.iteration}".encode()).digest()
    return f"{request.service}-{request.iteration:05d}-{''.join(_ALPHABET[byte % 36] for byte in digest[:6])}"


def check(request: DeployRequest, *, emulated: bool) -> None:
    """Raises CloudCallFailed for what would be refused anyway, naming it. `emulated`: the cloud is none of Google's."""
    for key in request.labels:
        if key.startswith(_OWNED_PREFIXES):
            _refuse(request, f"label {key!r} has a prefix that belongs to the platform")
        if key in {LABEL_SESSION, LABEL_ITERATION}:
            _refuse(request, f"label {key!r} is netra-loop's own")
    both = sorted(set(request.env) & set(request.secrets))
    if both:
        _refuse(request, f"{both[0]!r} is given by `env` and by `secrets`")
    if request.image is None and not emulated:
        _refuse(request, "it has no `image`, and only the embedded cloud starts a service from its source")


def service_of(request: DeployRequest, name: str, present: run_v2.Service | None) -> run_v2.Service:
    """The service (full `name`) that `request` asks for, with `present`'s etag; its traffic is for the caller."""
    service = copy_of(present) if present is not None else run_v2.Service(name=name)
    if request.image is None:
        service.template = run_v2.RevisionTemplate()
    template = service.template
    template.revision = revision_name(request)
    template.labels = {**template.labels, **request.labels, **labels_of(request)}
    _container(request, _ingress_container(template))
    _fill(request, template)
    service.client, service.client_version = CLIENT, __version__
    return service


def copy_of(service: run_v2.Service) -> run_v2.Service:
    """A service that can be changed without changing `service`."""
    made = run_v2.Service()
    run_v2.Service.pb(made).CopyFrom(run_v2.Service.pb(service))
    return made


def start_limit_s(containers: list[run_v2.Container]) -> float:
    """How long the platform itself waits for these containers to start."""
    limits = [float(_LONGEST_PROBE_S)] if not any("startup_probe" in one for one in containers) else [0.0]
    for one in containers:
        if "startup_probe" in one:
            probe = one.startup_probe
            tries = (probe.failure_threshold or 3) * (probe.period_seconds or 10)
            limits.append(float(probe.initial_delay_seconds + tries))
    return max(limits)


def _ingress_container(template: run_v2.RevisionTemplate) -> run_v2.Container:
    """The container that takes the requests, beside which there may be others; made where there is none."""
    if not template.containers:
        template.containers = [run_v2.Container()]
    with_port: list[run_v2.Container] = [one for one in template.containers if one.ports]
    return (with_port or list(template.containers))[0]


def _container(request: DeployRequest, container: run_v2.Container) -> None:
    container.image = request.image or f"{FROM_SOURCE}{request.service}"
    if request.image is None:
        container.working_dir = request.source
    if request.command:
        container.command = list(request.command)
    container.ports = [run_v2.ContainerPort(name=_port_name(container), container_port=request.port)]
    container.env = _env(request, list(container.env))
    _resources(request, container)
    if request.probe_path is not None or request.image is None:
        container.startup_probe = _probe(request)


def _port_name(container: run_v2.Container) -> str:
    return container.ports[0].name if container.ports else ""  # "h2c" where somebody chose HTTP/2


def _env(request: DeployRequest, present: list[run_v2.EnvVar]) -> list[run_v2.EnvVar]:
    """The request's variables, and those that are there under other names."""
    asked = [run_v2.EnvVar(name=name, value=value) for name, value in request.env.items()]
    for name, reference in request.secrets.items():
        secret, _, version = reference.partition(":") if not reference.startswith("projects/") else (reference, "", "")
        selector = run_v2.SecretKeySelector(secret=secret, version=version or "latest")
        asked.append(run_v2.EnvVar(name=name, value_source=run_v2.EnvVarSource(secret_key_ref=selector)))
    names = {*request.env, *request.secrets}
    return [variable for variable in present if variable.name not in names] + asked


def _resources(request: DeployRequest, container: run_v2.Container) -> None:
    asked = request.resources
    limits = {key: value for key, value in (("cpu", asked.cpu), ("memory", asked.memory)) if value is not None}
    if not (limits or asked.cpu_always or asked.startup_boost):
        return
    first = "resources" not in container
    container.resources.limits = {**container.resources.limits, **limits}
    if asked.cpu_always:
        container.resources.cpu_idle = False
    elif first:
        container.resources.cpu_idle = True  # the platform's own default, which ends where anything else is said
    if asked.startup_boost:
        container.resources.startup_cpu_boost = True


def _fill(request: DeployRequest, template: run_v2.RevisionTemplate) -> None:
    """The rest of the template, as far as the request says anything of it."""
    if request.scaling.min is not None:
        template.scaling.min_instance_count = request.scaling.min
    if request.scaling.max is not None:
        template.scaling.max_instance_count = request.scaling.max
    if request.vpc is not None:
        template.vpc_access = _vpc(request.vpc)
    if request.concurrency is not None:
        template.max_instance_request_concurrency = request.concurrency
    if request.request_timeout_s is not None:
        timeout = duration_pb2.Duration()
        timeout.FromMilliseconds(round(request.request_timeout_s * 1000))
        run_v2.RevisionTemplate.pb(template).timeout.CopyFrom(timeout)
    if request.service_account is not None:
        template.service_account = request.service_account


def _vpc(vpc: VpcSpec) -> run_v2.VpcAccess:
    access = run_v2.VpcAccess(egress=_EGRESS[vpc.egress])
    if vpc.connector is not None:
        access.connector = vpc.connector
    else:
        interface = run_v2.VpcAccess.NetworkInterface(
            network=vpc.network or "", subnetwork=vpc.subnet or "", tags=list(vpc.tags)
        )
        access.network_interfaces = [interface]
    return access


def _probe(request: DeployRequest) -> run_v2.Probe:
    """The whole wait as tries times period, in the whole seconds that the API takes, at most its 240."""
    period_s = min(max(1, math.ceil(request.probe_period_s)), _LONGEST_PROBE_S)
    tries = min(math.ceil(request.probe_timeout_s / period_s), _LONGEST_PROBE_S // period_s)
    probe = run_v2.Probe(period_seconds=period_s, timeout_seconds=period_s, failure_threshold=max(1, tries))
    if request.probe_path is None:
        probe.tcp_socket = run_v2.TCPSocketAction(port=request.port)
    else:
        probe.http_get = run_v2.HTTPGetAction(path=request.probe_path, port=request.port)
    return probe


def _label(text: str) -> str:
    """`text` as a label's value; one that cannot be is made shorter and told apart by a hash."""
    if _LABEL.fullmatch(text):
        return text
    plain = re.sub(r"[^a-z0-9_-]", "-", text.lower())
    return f"{plain[:54]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _refuse(request: DeployRequest, message: str) -> None:
    call = f"deploying service {request.service!r}"
    hint = "mend that in the loop file, then: netra-loop validate LOOP"
    raise CloudCallFailed(call, "INVALID_ARGUMENT", message, hint=hint)
