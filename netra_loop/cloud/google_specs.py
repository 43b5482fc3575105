"""What we send and read of Cloud Run's resources: names, labels, the service of a deploy, who serves, what failed."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime

from google.cloud import run_v2

from netra_loop import __version__
from netra_loop.cloud.base import LABEL_ITERATION, LABEL_SESSION, DeployRequest
from netra_loop.core.records import Revision

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
_LONGEST_PROBE_S = 240
_FAILED = run_v2.Condition.State.CONDITION_FAILED
_SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED


def labels_of(request: DeployRequest) -> dict[str, str]:
    """What says that a revision was made for this session and iteration."""
    return {LABEL_SESSION: _label(request.session), LABEL_ITERATION: str(request.iteration)}


def revision_name(request: DeployRequest, generation: int) -> str:
    """`SERVICE-NNNNN-xxx`: the service's generation, and what this session and iteration always give."""
    digest = hashlib.sha256(f"{request.session}/{request.iteration}".encode()).digest()
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    return f"{request.service}-{generation:05d}-{''.join(alphabet[byte % 36] for byte in digest[:3])}"


def service_of(request: DeployRequest, name: str, present: run_v2.Service | None) -> run_v2.Service:
    """The service that `request` asks for, all traffic to its newest revision."""
    generation = (present.generation if present is not None else 0) + 1
    container = run_v2.Container(
        image=f"embedded://{request.service}",
        command=list(request.command),
        working_dir=request.source,
        env=[run_v2.EnvVar(name=key, value=value) for key, value in request.env.items()],
        ports=[run_v2.ContainerPort(container_port=request.port)],
        startup_probe=_probe(request),
    )
    template = run_v2.RevisionTemplate(
        revision=revision_name(request, generation), labels=labels_of(request), containers=[container]
    )
    return run_v2.Service(
        name=name,
        template=template,
        traffic=[run_v2.TrafficTarget(type_=_LATEST, percent=100)],
        client="netra-loop",
        client_version=__version__,
        etag=present.etag if present is not None else "",
    )


def serving_name(service: run_v2.Service) -> str | None:
    """The short name of the revision that gets the most traffic; None where none does."""
    shares = sorted(service.traffic_statuses, key=lambda status: status.percent, reverse=True)
    if not shares or not shares[0].percent:
        return None
    latest = service.latest_ready_revision.rpartition("/")[2]
    return (latest if shares[0].type_ == _LATEST else shares[0].revision) or None


def revision_of(service: run_v2.Service, name: str, ready_at: datetime | None) -> Revision:
    """How the service's revision `name` is reached."""
    url = service.uri.rstrip("/")
    return Revision(
        service=service.name.rpartition("/")[2],
        name=name,
        url=url,
        ws_url=url.replace("http", "ws", 1),
        ready_at=ready_at,
    )


def ready_at(revision: run_v2.Revision) -> datetime | None:
    """Since when it is ready; None where it is not, or not yet."""
    for condition in run_v2.Revision.pb(revision).conditions:
        if condition.type_ == "Ready" and condition.state == _SUCCEEDED:
            since: datetime = condition.last_transition_time.ToDatetime(tzinfo=UTC)
            return since
    return None


def failure(revision: run_v2.Revision) -> tuple[str, str] | None:
    """Reason and message of a revision that will not get ready; None where it is, or may still get ready."""
    for condition in revision.conditions:
        if condition.type_ == "Ready" and condition.state == _FAILED:
            for kind in ("revision_reason", "reason"):
                if kind in condition:
                    return getattr(condition, kind).name, condition.message
            return "UNKNOWN", condition.message
    return None


def _label(text: str) -> str:
    """`text` as a label's value; one that cannot be is made shorter and told apart by a hash."""
    if _LABEL.fullmatch(text):
        return text
    plain = re.sub(r"[^a-z0-9_-]", "-", text.lower())
    return f"{plain[:54]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


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
