"""Which runners a loop's tests need, and which hosts are of their environment: shared by `select` and `execute`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from netra_loop.core import template
from netra_loop.core.records import JOURNEY_PREFIX
from netra_loop.core.spec import LoopSpec
from netra_loop.errors import UsageError
from netra_loop.execution.base import PoolOptions, Runner
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.given import environment_within, options_within, session_within
from netra_loop.phases.scope import Scope
from netra_loop.phases.serving import ensure_serving
from netra_loop.phases.tokens import good_for_tests, token
from netra_loop.values import dataclass

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")
# Variables whose URLs are of helpers that requests pass on the way, or that are told about tests: by their beginnings,
# and by words within them.
_HELPERS = (
    *("OTEL_", "SENTRY_", "DD_", "DATADOG_", "NEW_RELIC_", "HONEYCOMB_", "LOKI_", "GRAFANA_", "PROMETHEUS_", "JAEGER_"),
    *("ZIPKIN_", "ELASTIC_APM_", "APPLICATIONINSIGHTS_", "ROLLBAR_", "BUGSNAG_", "AIRBRAKE_", "SPLUNK_", "STATSD_"),
    *("LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "PYROSCOPE_", "ALLURE_", "CODECOV_", "PIP_", "UV_", "NPM_"),
)
_HELPERS_ANYWHERE = ("PROXY", "OTLP", "PUSHGATEWAY", "SLACK", "TELEMETRY")

Host = tuple[str, int | None]


@dataclass(frozen=True)
class Runners:
    """The runners of a loop; None where it has no tests of that kind."""

    pool: Runner | None
    journeys: Runner | None

    def of(self, test: str) -> Runner | None:
        """The one that runs `test`."""
        return self.journeys if test.startswith(JOURNEY_PREFIX) else self.pool


async def runners(context: PhaseContext) -> tuple[Runners, Scope]:
    """The runners, with the revisions seen to serve and a fresh token, and the scope they were made with."""
    await ensure_serving(context)
    scope = context.scope()
    spec = context.spec
    scope = scope.with_token(await token(context, scope, good_for_tests(spec)))
    pool = await context.tools.pool(pool_options(context, scope)) if spec.tests and spec.tests.paths else None
    journeys = context.tools.journeys(tuple(spec.journeys.values()), scope) if spec.journeys else None
    return Runners(pool, journeys), scope


def pool_options(context: PhaseContext, scope: Scope) -> PoolOptions:
    """How this iteration's pytest is started."""
    return options_within(scope, first_revision(context))


def environment(context: PhaseContext, scope: Scope) -> Mapping[str, str]:
    """The whole environment of the tests' processes (contract, "What a test is given")."""
    return environment_within(scope, first_revision(context))


def session_environment(context: PhaseContext, scope: Scope) -> dict[str, str]:
    """Our own environment, and what a process may know of the session it runs in."""
    return session_within(scope, first_revision(context))


def first_revision(context: PhaseContext) -> str | None:
    """The short name of the first service's revision: the one results are about."""
    for service in context.spec.services:
        revision = context.state().revisions.get(service)
        return revision.name if revision else None
    return None


def environment_hosts(context: PhaseContext, scope: Scope) -> tuple[Host, ...]:
    """The hosts (with their port, None: any) that belong to the environment under test: the services' own and those the
    loop file lists; for a loop with neither, those its own URLs name.
    """
    spec = context.spec
    urls = [scope.service_url(service) for service in spec.services]
    if are_guessed(context):
        urls = [*_own_urls(spec, scope)]
    hosts = [host for url in urls if url for host in _host_of(url)]
    hosts += [_listed_host(scope.text(listed), spec) for listed in context.environment.hosts]
    return tuple(dict.fromkeys(hosts))


def are_guessed(context: PhaseContext) -> bool:
    """Whether nothing in the loop file says which hosts the environment is, so that its URLs have to."""
    return not context.spec.services and not context.environment.hosts


def shown_host(host: Host) -> str:
    """`name:port`, or the name alone where any port counts."""
    name, port = host
    shown = f"[{name}]" if ":" in name else name
    return shown if port is None else f"{shown}:{port}"


def proxy_hosts(env: Mapping[str, str]) -> tuple[Host, ...]:
    """The proxies that `env` tells the tests' clients to use."""
    named = [env.get(name) or env.get(name.upper()) for name in _PROXIES]
    hosts: dict[Host, None] = {}
    for url in named:
        try:
            parts = urlsplit(url if url and "://" in url else f"//{url or ''}")
            if parts.hostname is not None:
                hosts[parts.hostname, parts.port] = None
        except ValueError:
            pass  # no client can use it either
    return tuple(hosts)


def _own_urls(spec: LoopSpec, scope: Scope) -> list[str]:
    """What may be a URL of the environment in the loop file: the tests' variables, but for those of helpers such as
    proxies and telemetry, and where journeys go, as far as that is known before one runs.
    """
    variables = spec.tests.env if spec.tests is not None else {}
    texts = [text for name, text in variables.items() if not _is_of_a_helper(name.upper())]
    for journey in spec.journeys.values():
        texts += [step.connect.url for step in journey.steps if step.connect is not None]
        texts += [step.request.url for step in journey.steps if step.request is not None]
    return [
        scope.text(text) for text in texts if not any(name.startswith("saved.") for name in template.parse(text).names)
    ]


def _is_of_a_helper(variable: str) -> bool:
    return variable.startswith(_HELPERS) or any(word in variable for word in _HELPERS_ANYWHERE)


def _listed_host(listed: str, spec: LoopSpec) -> Host:
    """`host`, `host:port`, `[v6]:port` or a URL of it."""
    try:
        parts = urlsplit(listed if "://" in listed else f"//{listed}")
        if parts.hostname is not None:
            return parts.hostname, parts.port
    except ValueError:
        pass  # told below, as what names no host at all
    raise UsageError(
        f"{listed!r} names no host, expected one such as auth.example.com or auth.example.com:8443",
        hint=f"mend the environment's hosts in {spec.path.name}",
    )


def _host_of(url: str) -> list[Host]:
    """The host of `url`; none where the text is no URL of a kind that tests talk to."""
    try:
        parts = urlsplit(url)
        if parts.hostname is None or parts.scheme not in _DEFAULT_PORTS:
            return []
        return [(parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme])]
    except ValueError:
        return []
