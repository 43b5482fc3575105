"""What the real Admin API refuses of a template: containers, environment, ports, limits, probes, scaling, times."""

from __future__ import annotations

import re

from google.cloud import run_v2

from netra_loop.cloud.embedded.refusals import Refused

_OWNED_NAMES = {"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"}
_OWNED_NAME_PREFIXES = ("CLOUD_RUN_", "X_GOOGLE_")
_SECRET = re.compile(r"(?:projects/[^/]+/secrets/)?[A-Za-z0-9_-]{1,255}")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)(|k|M|G|Ki|Mi|Gi)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_CPU = re.compile(r"\d+(?:\.\d+)?|\d+m")
_LIMITS = {"cpu", "memory", "nvidia.com/gpu"}
_LEAST_MEMORY = 128 * 2**20
_MOST_MEMORY = 32 * 2**30
_WHOLE_CPUS = {1, 2, 4, 6, 8}
_LEAST_CPU = 0.08
_LONGEST_PROBE_S = 240
_LONGEST_REQUEST_S = 3600
_LONGEST_ENV = 32768
_MOST_CONCURRENT = 1000
_MOST_INSTANCES = 1000
_HERE = "template.containers[0]"


def check_template(template: run_v2.RevisionTemplate) -> None:
    """Raises Refused where the real API would not take it, or the embedded cloud could not run it."""
    if len(template.containers) != 1:
        refuse(f"template.containers has {len(template.containers)} members, the embedded cloud runs exactly 1")
    if template.volumes:
        refuse("template.volumes: the embedded cloud mounts none")
    timeout_s = request_timeout_s(template)
    if not 0 < timeout_s <= _LONGEST_REQUEST_S:
        refuse(f"template.timeout is {timeout_s:g} s, expected more than 0 and at most {_LONGEST_REQUEST_S} s")
    container = template.containers[0]
    _check_image(container)
    _check_env(container)
    _check_ports(container)
    _check_limits(container)
    concurrency = template.max_instance_request_concurrency
    if not 0 <= concurrency <= _MOST_CONCURRENT:
        refuse(f"template.max_instance_request_concurrency is {concurrency}, expected 0 to {_MOST_CONCURRENT}")
    if concurrency > 1 and cpus(container) < 1:
        refuse("Total cpu < 1 is not supported with concurrency > 1")
    check_scaling("template.scaling", template.scaling.min_instance_count, template.scaling.max_instance_count)
    for name in ("startup_probe", "liveness_probe"):
        if name in container:
            _check_probe(name, getattr(container, name))


def check_scaling(where: str, least: int, most: int) -> None:
    """Raises Refused for numbers of instances that cannot be; 0 is nothing said."""
    if not (0 <= least <= _MOST_INSTANCES and 0 <= most <= _MOST_INSTANCES):
        refuse(f"{where}: {least} to {most} instances, expected numbers of 0 to {_MOST_INSTANCES}")
    if most and least > most:
        refuse(f"{where}.min_instance_count is {least}, expected at most max_instance_count, which is {most}")


def request_timeout_s(template: run_v2.RevisionTemplate | run_v2.Revision) -> float:
    """How long one request may take, the platform's default where nothing is said."""
    message = type(template).pb(template)
    seconds: float = message.timeout.ToTimedelta().total_seconds() if message.HasField("timeout") else 300.0
    return seconds


def cpus(container: run_v2.Container) -> float:
    """The CPUs of one instance, the platform's default where nothing is said. The limit is known to be well formed."""
    text = container.resources.limits.get("cpu", "1")
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def memory(container: run_v2.Container) -> int | None:
    """The bytes that one instance may use; None where nothing is said. The limit is known to be well formed."""
    match = _MEMORY.fullmatch(container.resources.limits.get("memory", ""))
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def refuse(message: str) -> None:
    """Answers INVALID_ARGUMENT."""
    raise Refused("INVALID_ARGUMENT", message)


def _check_image(container: run_v2.Container) -> None:
    if not container.image:
        refuse(f"{_HERE}.image is empty")
    if container.image.startswith("embedded://") and not container.command:
        refuse(f"{_HERE}.command is empty: the embedded cloud starts that command as a process")


def _check_env(container: run_v2.Container) -> None:
    seen = set()
    for variable in container.env:
        name = variable.name
        if name in _OWNED_NAMES or name.startswith(_OWNED_NAME_PREFIXES):
            refuse(f"{_HERE}.env: the name {name!r} is reserved: it is set by the platform")
        if (
            not name
            or "=" in name
            or "\0" in name + variable.value
            or max(map(len, (name, variable.value))) > _LONGEST_ENV
        ):
            refuse(f"{_HERE}.env: {name[:80]!r} is no name, or its value is longer than {_LONGEST_ENV}")
        if name in seen:
            refuse(f"{_HERE}.env: {name!r} is given twice")
        seen.add(name)
        if "value_source" in variable:
            reference = variable.value_source.secret_key_ref
            if not _SECRET.fullmatch(reference.secret) or not re.fullmatch(r"latest|\d+", reference.version):
                refuse(f"{_HERE}.env: {name!r}: expected a secret's name and a version, a number or 'latest'")


def _check_ports(container: run_v2.Container) -> None:
    if len(container.ports) > 1:
        refuse(f"{_HERE}.ports has {len(container.ports)} members, expected at most 1")
    for port in container.ports:
        if port.name not in {"", "http1"}:
            refuse(f"{_HERE}.ports[0].name is {port.name!r}, the embedded cloud speaks http1 only")
        if not 0 <= port.container_port <= 65535:
            refuse(f"{_HERE}.ports[0].container_port is {port.container_port}, expected 1 to 65535")


def _check_limits(container: run_v2.Container) -> None:
    limits = container.resources.limits
    for key in limits:
        if key not in _LIMITS:
            refuse(f"{_HERE}.resources.limits: {key!r}, expected one of {', '.join(sorted(_LIMITS))}")
    if "cpu" in limits:
        if not _CPU.fullmatch(limits["cpu"]):
            refuse(f"{_HERE}.resources.limits.cpu is {limits['cpu']!r}, expected a number such as 1 or 500m")
        count = cpus(container)
        if count not in _WHOLE_CPUS and not _LEAST_CPU <= count < 1:
            refuse(f"{_HERE}.resources.limits.cpu is {limits['cpu']!r}, expected 1, 2, 4, 6, 8 or {_LEAST_CPU} to 1")
    if "memory" in limits and not _LEAST_MEMORY <= (memory(container) or 0) <= _MOST_MEMORY:
        refuse(f"{_HERE}.resources.limits.memory is {limits['memory']!r}, expected 128Mi to 32Gi")


def _check_probe(name: str, probe: run_v2.Probe) -> None:
    period_s = probe.period_seconds or 10
    if probe.timeout_seconds > period_s:
        refuse(f"{name}.timeout_seconds is {probe.timeout_seconds}, expected at most its period of {period_s}")
    if not 0 <= probe.initial_delay_seconds <= _LONGEST_PROBE_S or not 0 < period_s <= _LONGEST_PROBE_S:
        refuse(f"{name}: delay and period must lie between 0 and {_LONGEST_PROBE_S} s")
    if min(probe.timeout_seconds, probe.failure_threshold) < 0:
        refuse(f"{name}: timeout and threshold must not be negative")
    whole_s = period_s * (probe.failure_threshold or 3)
    if name == "startup_probe" and whole_s > _LONGEST_PROBE_S:
        refuse(f"{name}: threshold times period is {whole_s} s, expected at most {_LONGEST_PROBE_S} s")
    if "grpc" in probe:
        refuse(f"{name}.grpc: the embedded cloud probes by HTTP and TCP only")
