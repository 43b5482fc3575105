"""What a test is given, and which runners a loop's tests need: shared by `select` and `execute`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from netra_loop.core import template
from netra_loop.core.records import JOURNEY_PREFIX
from netra_loop.core.spec import LoopSpec
from netra_loop.errors import UsageError
from netra_loop.execution.base import PoolOptions, Runner
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.scope import Scope, websocket_url
from netra_loop.phases.serving import ensure_serving
from netra_loop.phases.tokens import good_for_tests, token
from netra_loop.values import dataclass

SESSION_VARIABLE = "NETRA_LOOP_SESSION"  # by it all that a session starts is known
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")
_GIVEN_ELSEWHERE = frozenset(
    f"NETRA_LOOP_{name}"
    for name in (
        *("SESSION", "ITERATION", "ENV", "REVISION", "URL", "WS_URL", "TOKEN"),
        *("BRIEF", "BRIEF_JSON", "WORKSPACE", "ATTEMPT", "NOTE", "CLAIM"),
    )
)

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


def options_within(scope: Scope, revision: str | None = None) -> PoolOptions:
    """The same for whatever `scope` knows; `revision` is the short name of the one under test."""
    spec, tests = scope.spec, scope.spec.tests
    assert tests is not None
    root = spec.root_dir
    return PoolOptions(
        python=interpreter(spec, scope),
        root=root,
        paths=tuple(_test_path(spec, root, scope.text(path)) for path in tests.paths),
        args=tuple(scope.text(word) for word in tests.args),
        env=_environment(scope, revision),
        workers=tests.workers,
        timeout_s=tests.timeout_s,
        isolation=tests.isolation,
        testrun_uid=scope.session,
    )


def environment(context: PhaseContext, scope: Scope) -> Mapping[str, str]:
    """The whole environment of the tests' processes (contract, "What a test is given")."""
    return _environment(scope, first_revision(context))


def _environment(scope: Scope, revision: str | None) -> Mapping[str, str]:
    tests = scope.spec.tests
    own = {} if tests is None else {name: scope.text(value) for name, value in tests.env.items()}
    return {**_of_session(scope, revision), **own}


def session_environment(context: PhaseContext, scope: Scope) -> dict[str, str]:
    """Our own environment, and what a process may know of the session it runs in."""
    return _of_session(scope, first_revision(context))


def _of_session(scope: Scope, revision: str | None) -> dict[str, str]:
    spec = scope.spec
    # netra-loop may itself run inside another one's test, whose variables say nothing about this session
    given = {name: value for name, value in scope.environ.items() if name not in _GIVEN_ELSEWHERE}
    given |= {
        SESSION_VARIABLE: scope.session,
        "NETRA_LOOP_ITERATION": str(scope.iteration),
        "NETRA_LOOP_ENV": scope.environment,
    }
    for place, service in enumerate(spec.services):
        url = scope.service_url(service)
        if url is None:
            continue
        given[f"NETRA_LOOP_URL_{service.upper().replace('-', '_')}"] = url
        if place == 0:
            given |= {"NETRA_LOOP_URL": url, "NETRA_LOOP_WS_URL": websocket_url(url) or ""}
    if revision is not None:
        given["NETRA_LOOP_REVISION"] = revision
    if scope.token is not None:
        given["NETRA_LOOP_TOKEN"] = scope.token
    return given


def first_revision(context: PhaseContext) -> str | None:
    """The short name of the first service's revision: the one results are about."""
    for service in context.spec.services:
        revision = context.state().revisions.get(service)
        return revision.name if revision else None
    return None


def interpreter(spec: LoopSpec, scope: Scope) -> Path:
    """The tests' interpreter: an absolute path, one relative to the loop file, or a name on PATH."""
    assert spec.tests is not None
    if spec.tests.python is None:
        return Path(sys.executable)
    named = scope.text(spec.tests.python)
    if "/" in named:
        # Not resolved: a virtual environment's python is a link, and following it would leave the environment.
        path = spec.home_dir / Path(named).expanduser()
        if path.is_file():
            return path
    else:
        found = shutil.which(named, path=scope.environ.get("PATH"))
        if found is not None:
            return Path(found)
    raise UsageError(
        f"the tests' interpreter {named!r} was not found",
        hint=f"mend tests.python in {spec.path.name}, or make it: python -m venv … && … pip install pytest",
    )


def _test_path(spec: LoopSpec, root: Path, given: str) -> str:
    """A path of the loop file as pytest takes it, relative to its working directory where it lies there, so that node
    ids read as in a plain pytest. A `::` part is kept.
    """
    file, separator, node = given.partition("::")
    path = (spec.base_dir / file).resolve()
    shown = str(path.relative_to(root.resolve()) if path.is_relative_to(root.resolve()) else path)
    return f"{'./' if shown.startswith('-') else ''}{shown}{separator}{node}"  # a name, never an option


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
