"""What a loop file means, as frozen values. `loopfile` makes them out of YAML; nothing here reads a file.

Durations are float seconds; rates are fractions (0.05 is 5 %). Strings may still hold `${…}`, which `template` fills in
when their time has come; whether each variable exists was checked when the file was read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from netra_loop.core.model import Model, field

Command = str | tuple[str, ...]
Uses = Literal["deploy", "attach", "select", "execute", "collect-logs", "record", "run", "commit", "compare", "wait"]
TARGETS = ("done", "stop", "pause")
BUILT_IN_STAGES = ("connected", "authenticated")  # those that a WebSocket's connection tells by itself


class EnvironmentSpec(Model):
    """A place where revisions live. `none` tests what is there, without deploying.

    `endpoint` (`http://HOST:PORT` or `unix:PATH`) is plain-text gRPC for both APIs; None is Google, with Application
    Default Credentials. `secrets` are what the embedded cloud's Secret Manager holds, by the secret's name.
    """

    cloud: Literal["embedded", "google", "none"] = "embedded"
    project: str = "demo"
    region: str = "local"
    endpoint: str | None = None
    hosts: tuple[str, ...] = ()
    secrets: dict[str, str] = field(default_factory=dict)


class ProbeSpec(Model):
    """HTTP GET on `path` until it answers 2xx; `timeout_s` bounds the whole wait, `period_s` is from try to try."""

    path: str = "/"
    timeout_s: float = 60.0
    period_s: float = 1.0


class ResourcesSpec(Model):
    """What one instance gets, in Cloud Run's own notation ("1", "2000m", "512Mi"). None: the platform's default."""

    cpu: str | None = None
    memory: str | None = None
    cpu_always: bool = False
    startup_boost: bool = False


class ScalingSpec(Model):
    """How many instances a revision may have. None: the platform's default."""

    min: int | None = None
    max: int | None = None


class VpcSpec(Model):
    """How a revision reaches a VPC: through a `connector`, or directly by `network` and `subnet` (with `tags`)."""

    connector: str | None = None
    network: str | None = None
    subnet: str | None = None
    tags: tuple[str, ...] = ()
    egress: Literal["private-ranges-only", "all-traffic"] | None = None


class ServiceSpec(Model):
    """A Cloud Run service; its key in the loop file is its service id.

    `command` is how the embedded cloud starts it, `entrypoint` what takes the place of the image's own on google.
    `secrets` maps a variable to `SECRET` or `SECRET:VERSION` of Secret Manager. `needs` are services that have to be
    ready before; none means the file's order. `concurrency`, `request_timeout_s`: None is the platform's default.
    """

    source: str = "."
    command: Command = ()
    entrypoint: Command = ()
    port: int = 8080
    env: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    startup_probe: ProbeSpec | None = None
    image: str | None = None
    build: Command | None = None
    build_timeout_s: float = 1800.0
    traffic: Literal["latest", "tagged"] = "latest"
    needs: tuple[str, ...] = ()
    resources: ResourcesSpec = ResourcesSpec()
    scaling: ScalingSpec = ScalingSpec()
    vpc: VpcSpec | None = None
    concurrency: int | None = None
    request_timeout_s: float | None = None
    service_account: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    url: str | None = None


class JwtAuth(Model):
    """A token that we sign ourselves (HS256)."""

    secret: str
    subject: str
    ttl_s: float = 3600.0
    claims: dict[str, Any] = field(default_factory=dict)


class BypassAuth(Model):
    """A token asked for at `url` with a shared key."""

    url: str
    key: str


class IdentityTokenAuth(Model):
    """Google's identity token of whoever runs netra-loop, for IAM-protected services. `audience` None: the URL of the
    loop's first service.
    """

    audience: str | None = None


class AuthSpec(Model):
    """One way to a token; exactly one of the fields is set. Tried in the loop file's order until one works."""

    jwt: JwtAuth | None = None
    bypass: BypassAuth | None = None
    identity_token: IdentityTokenAuth | None = None
    command: Command | None = None


class TestsSpec(Model):
    """Which pytest tests there are and how they run. `root` and `python` are absolute or relative to the loop file."""

    __test__ = False  # not a test class, whatever pytest thinks of its name
    paths: tuple[str, ...] = ()
    python: str | None = None
    root: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 120.0
    workers: int = 16
    isolation: Literal["worker", "test"] = "worker"
    retries: int = 0


class SelectSpec(Model):
    """What a tier takes; a test is in when any given kind matches it. `everything` is the loop file's `all`."""

    everything: bool = False
    paths: tuple[str, ...] = ()
    keyword: str | None = None
    marker: str | None = None


class TierSpec(Model):
    """A priority group of tests with thresholds. `max_flaky` bounds the passes on retry alone; None: any number."""

    name: str
    title: str | None = None
    impact: str | None = None
    max_failures: float = 0.0
    max_flaky: float | None = None
    select: SelectSpec = SelectSpec(everything=True)


class StageSpec(Model):
    """A stage of the loop's path, and the one way it is reached: an event `received` or `sent`, an answered `request`
    ("POST /runs/*", its method optional) with one of `status` ("201", "2xx"; none: any below 400), or `built_in`.
    """

    name: str
    received: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    request: str | None = None
    status: tuple[str, ...] = ()
    built_in: bool = False


class ConnectStep(Model):
    """Open a WebSocket."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()


class RequestStep(Model):
    """One HTTP request. `save` maps a name to a dotted path in the JSON answer, read later as `${saved.name}`."""

    method: str = "GET"
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    json_body: Any = None
    status: int | None = None
    within_s: float = 30.0
    save: dict[str, str] = field(default_factory=dict)


class ExpectStep(Model):
    """The next frame that contains `contains`, however deep, within `within_s` seconds."""

    contains: dict[str, Any]
    within_s: float = 30.0


class StepSpec(Model):
    """One step of a journey; exactly one of the fields is set. `line` is where the loop file says it."""

    request: RequestStep | None = None
    connect: ConnectStep | None = None
    send: Any = None
    expect: ExpectStep | None = None
    close: bool = False
    line: int = 0


class JourneySpec(Model):
    """A golden path told in YAML; a first `websocket` has become a `connect` step."""

    name: str
    tier: str | None = None
    steps: tuple[StepSpec, ...]


class PhaseSpec(Model):
    """One state of the machine. `with_` are the phase's own parameters, already validated and in canonical form."""

    name: str
    uses: Uses
    with_: dict[str, Any] = field(default_factory=dict)
    next: dict[str, str] = field(default_factory=dict)
    attempts: int | None = None


class WorkspaceSpec(Model):
    """Where source is changed and committed: in place (`none`), in a copy, or in a git worktree of HEAD."""

    git: Literal["none", "copy", "worktree"] = "none"


class GoalSpec(Model):
    """When the loop has reached its end. `allow_regressions`: what passed before and fails now is a failure as any."""

    authenticity: Literal["required", "report", "off"] = "required"
    consecutive: int = 1
    allow_regressions: bool = False


class LimitsSpec(Model):
    """How far the loop goes before it gives up."""

    iterations: int = 100
    duration_s: float = 72_000.0
    no_progress: int = 5


class LoopSpec(Model):
    """A whole loop file. `path` is the file itself (absolute); paths in it are relative to `base_dir`, which is the
    file's own folder, or where that lies in the session's workspace (`placed`).

    `seal` are the globs of what no fixer may change; None: the tests' files, their conftest and the loop file; empty:
    nothing (`off`).
    """

    version: Literal[1] = 1
    name: str
    description: str = ""
    path: Path
    vars: dict[str, str] = field(default_factory=dict)
    environments: dict[str, EnvironmentSpec] = field(default_factory=dict)
    workspace: WorkspaceSpec = WorkspaceSpec()
    services: dict[str, ServiceSpec] = field(default_factory=dict)
    auth: tuple[AuthSpec, ...] = ()
    tests: TestsSpec | None = None
    tiers: tuple[TierSpec, ...] = ()
    stages: tuple[StageSpec, ...] = ()  # none: the golden path's, see `core.stages`
    journeys: dict[str, JourneySpec] = field(default_factory=dict)
    phases: tuple[PhaseSpec, ...]
    goal: GoalSpec = GoalSpec()
    limits: LimitsSpec = LimitsSpec()
    seal: tuple[str, ...] | None = None
    placed: Path | None = None

    @property
    def base_dir(self) -> Path:
        """The folder that the file's own paths are relative to."""
        return self.path.parent if self.placed is None else self.placed

    @property
    def home_dir(self) -> Path:
        """The loop file's own folder, wherever the session works: what is no source, as an interpreter, is there."""
        return self.path.parent

    def placed_at(self, folder: Path) -> LoopSpec:
        """The same loop, with `folder` in the place of its own."""
        return self.model_copy(update={"placed": folder})

    @property
    def root_dir(self) -> Path:
        """Where pytest runs: `tests.root`, else the folder that holds `loops/`, else the loop file's own folder."""
        if self.tests is not None and self.tests.root is not None:
            return (self.base_dir / self.tests.root).resolve()
        return self.base_dir.parent if self.base_dir.name == "loops" else self.base_dir

    @property
    def deploy_order(self) -> tuple[str, ...]:
        """The services as they are deployed: in the file's order, but each after those it needs."""
        order: list[str] = []

        def add(name: str) -> None:
            for needed in self.services[name].needs:
                if needed not in order:
                    add(needed)
            if name not in order:
                order.append(name)

        for name in self.services:
            add(name)
        return tuple(order)

    def phase(self, name: str) -> PhaseSpec:
        """The phase called `name`; KeyError where the file has none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)
