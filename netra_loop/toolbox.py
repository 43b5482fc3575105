"""The costly things that the phases of one session share within one process, each made when first asked for."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netra_loop.clock import Clock
from netra_loop.cloud import plain_http
from netra_loop.cloud.base import Cloud
from netra_loop.cloud.lean import lean_imports
from netra_loop.cloud.token_life import TokenLife
from netra_loop.core.events import AuthTried, Event, WorkspaceMade
from netra_loop.core.redact import Redactor
from netra_loop.core.shown_names import ShownNames
from netra_loop.core.spec import Command, JourneySpec, LoopSpec
from netra_loop.errors import UsageError
from netra_loop.execution.base import PoolOptions, Runner
from netra_loop.phases.known_secrets import known_secrets, withheld
from netra_loop.phases.scope import Scope
from netra_loop.settings import Settings
from netra_loop.workspace.base import Workspace

if TYPE_CHECKING:
    from netra_loop.cloud.auth import TokenSource
    from netra_loop.cloud.auth_ways import Token
    from netra_loop.cloud.embedded.launch import EmbeddedCloud
    from netra_loop.execution.pool_ahead import Ahead
    from netra_loop.workspace.base import Kind

_MARK_TIMEOUT_S = 10.0
_MARK_BODY = 65_536
_CLOUD_GRACE_S = 1.0  # a stop takes 6 s at most, tests that will not end 3.5 of them
CLOUD_TOKEN = "NETRA_LOOP_CLOUD_TOKEN"  # sent to an `endpoint`, where `netra-loop cloud` was given one


class SessionTools:
    """The `Toolbox` of a session. `close` ends everything it started; a killed process takes it along anyway.

    `ahead` is a tests' interpreter that was begun before the session was; it is the first pool's, or is ended here.
    """

    def __init__(
        self,
        session: str,
        spec: LoopSpec,
        environment: str,
        settings: Settings,
        folder: Path,
        clock: Clock,
        ahead: Ahead | None = None,
    ) -> None:
        self.environ: Mapping[str, str] = settings.environ
        self.folder = folder
        self._session = session
        self._spec = spec
        self._environment = spec.environments[environment]
        self._state_dir = settings.state_dir(spec.base_dir)
        self._clock = clock
        self._ahead = ahead
        self._scope = Scope(spec, environment, session, 0, settings.environ)
        self.on_wait: Callable[[str, float], Awaitable[None]] | None = None
        """Is told of each wait over a second that the cloud's API made us take; None: nobody is."""
        self.known = known_secrets(spec, self._scope, [settings.command()], settings.store)
        """The secrets known from the start."""
        self._learnt: list[str] = []  # the secrets known since
        self.redactor: Redactor = self.known.redactor()
        self._names = ShownNames(session, lambda: self.redactor)
        self._lock = asyncio.Lock()
        self._embedded: EmbeddedCloud | None = None
        self._cloud: Cloud | None = None
        self._pool: tuple[PoolOptions, Runner] | None = None
        self._tokens: TokenSource | None = None
        self._token: str | None = None
        self.git: Mapping[str, str] = {}
        """What `${git.…}` stands for in the checkout; empty outside a repository."""
        self.workspace: Workspace | None = None
        """Where source is changed; None where in place, and before `settle`."""
        self._asking = self._scope  # of whoever asked for a token last: what is known grows with each deploy

    async def settle(self, made: WorkspaceMade | None, head: str | None = None) -> WorkspaceMade | None:
        """Makes the session's workspace, or finds it where it was `made` before, its newest commit being `head`; None
        where source is changed in place. What it gives is another than `made` where it had to be built again.

        Raises UsageError where the checkout is not fit for it, EnvironmentFailed where it was made and is gone.
        """
        if self._spec.workspace.git == "none":
            return None
        from netra_loop.phases.given import SESSION_VARIABLE
        from netra_loop.workspace import making  # only where source is changed
        from netra_loop.workspace.base import Made

        # With the mark by which the next process ends what a killed one leaves, git among it.
        environ, home = {**self.environ, SESSION_VARIABLE: self._session}, _home(self._spec)
        if made is None:
            workspace = await making.make(self._spec.workspace.git, home, self.folder, self._session, environ)
        else:
            kind: Kind = "copy" if made.how == "copy" else "worktree"
            known = Made(kind, Path(made.root), made.branch, made.base, made.left_out)
            workspace = await making.find(known, head or made.base, home, self.folder, self._session, environ)
        self.workspace = workspace
        now = workspace.made
        return WorkspaceMade(
            how=now.kind, home=str(workspace.home), root=str(now.root), branch=now.branch,
            base=now.base, left_out=now.left_out,
        )  # fmt: skip

    async def cloud(self) -> Cloud | None:
        """See `Toolbox.cloud`."""
        if self._environment.cloud == "none":
            return None
        async with self._lock:
            if self._cloud is None:
                self._cloud = await self._start_cloud()
            return self._cloud

    def gone(self) -> str | None:
        """See `Toolbox.gone`."""
        return self._embedded.gone() if self._embedded is not None else None

    async def until_gone(self) -> None:
        """See `Toolbox.until_gone`."""
        if self._embedded is None:
            await asyncio.Event().wait()
        else:
            await self._embedded.until_gone()

    async def _start_cloud(self) -> Cloud:
        # The google packages cost half a second and 50 MB: only sessions that deploy or read logs pay for them. In a
        # thread, so that signals are answered meanwhile.
        await asyncio.to_thread(_import_cloud)
        from netra_loop.cloud.embedded.launch import start_embedded
        from netra_loop.cloud.google import CloudRun

        project, region, endpoint, token = self.place()
        if self._environment.cloud == "google":
            return CloudRun(endpoint, project, region, self._clock, token=token, on_wait=self.waited)
        state = self.folder / "cloud"
        held = {name: self._scope.text(value) for name, value in self._environment.secrets.items()}
        kept_out = withheld(self._spec, self._scope, self.redactor)
        seed, hidden = self._seed(state), self.known.told(*self._learnt)
        self._embedded = await start_embedded(state, seed=seed, secrets=held, hidden=hidden, withheld=kept_out)
        return CloudRun(self._embedded.endpoint, project, region, self._clock, on_wait=self.waited)

    def place(self) -> tuple[str, str, str | None, str | None]:
        """Project and region of the environment; its endpoint, and the token for that, where it has them. Raises
        UsageError where one of them is needed and comes to nothing.
        """
        endpoint = None if self._environment.endpoint is None else self._place("endpoint")
        token = self.environ.get(CLOUD_TOKEN) if endpoint is not None else None
        return self._place("project"), self._place("region"), endpoint, token or None

    def _place(self, key: str) -> str:
        """The environment's `project`, `region` or `endpoint`, filled in. Raises UsageError where it comes to nothing:
        deploying must never mean some project that nobody named.
        """
        given = str(getattr(self._environment, key))
        value = self._scope.text(given).strip()
        needed = self._environment.cloud == "google" and (key == "endpoint" or self._environment.endpoint is None)
        if not value or (needed and key not in self._environment.model_fields_set):
            raise UsageError(
                f"environment {self._scope.environment!r} is google's and names no {key}",
                hint=f"give it `{key}: …` in {self._spec.path.name}, then: netra-loop validate {self._spec.path}",
            )
        return value

    async def waited(self, why: str, seconds: float) -> None:
        """A wait that the cloud's API made us take; told on without secrets."""
        if self.on_wait is not None:
            await self.on_wait(self.redactor.text(why), seconds)

    def _seed(self, own: Path) -> Path | None:
        """What the newest other session left in its embedded cloud, so that a new one begins with the same services."""
        if (own / "resources.json").exists():
            return None
        left = self._state_dir.glob("sessions/*/cloud/resources.json")
        return max((path for path in left if path.parent != own), key=lambda path: path.stat().st_mtime, default=None)

    async def pool(self, options: PoolOptions) -> Runner:
        """See `Toolbox.pool`. Only one pool is kept: other options close the one before."""
        from netra_loop.execution.names_hidden import NamesHidden
        from netra_loop.execution.pool import PytestPool  # with psutil and the wire, only for sessions that run tests

        async with self._lock:
            if self._pool is not None and self._pool[0] != options:
                await self._pool[1].close()
                self._pool = None
            if self._pool is None:
                ahead, self._ahead = self._ahead, None
                pool = PytestPool(options, self._clock, self.folder, ahead=ahead)
                self._pool = (options, NamesHidden(pool, self._names))
            return self._pool[1]

    async def pool_beside(self, options: PoolOptions, name: str) -> Runner:
        """See `Toolbox.pool_beside`."""
        from netra_loop.execution.names_hidden import NamesHidden
        from netra_loop.execution.pool import PytestPool

        return NamesHidden(PytestPool(options, self._clock, self.folder / name), self._names)

    async def renew_pool(self) -> None:
        """See `Toolbox.renew_pool`."""
        async with self._lock:
            pool, self._pool = self._pool, None
            if pool is not None:
                await pool[1].close()
            await self._drop_ahead()  # the tests' packages may have changed, too
            if self.git and self.workspace is None:  # and somebody may have committed
                self.git = await git_facts(self._spec.root_dir)

    def journeys(self, journeys: Sequence[JourneySpec], scope: Scope) -> Runner:
        """See `Toolbox.journeys`."""
        from netra_loop.execution.journeys import JourneyRunner  # websockets and httpx, only where there are journeys

        tests = self._spec.tests

        def render(value: Any, saved: Mapping[str, str]) -> Any:
            # each step takes the newest token: a journey may be longer than a token's life
            return scope.with_token(self._token or scope.token).with_saved(saved).any(value)

        return JourneyRunner(
            journeys,
            render,
            tests.timeout_s if tests else 120.0,
            tests.workers if tests else 16,
            self._clock,
            source=self._spec.path.name,
        )

    async def token(
        self, scope: Scope, on_try: Callable[[Event], Awaitable[None]], good_for_s: float = 0.0
    ) -> str | None:
        """See `Toolbox.token`. The token is a secret from here on."""
        if not self._spec.auth:
            return None
        from netra_loop.cloud.auth import TokenSource  # PyJWT and httpx, only where a loop authenticates

        self._asking = scope
        if self._tokens is None:
            self._tokens = TokenSource(
                self._spec.auth,
                self._filled,
                self._argv,
                self._clock,
                cwd=self._spec.base_dir,
                env=self.environ,
                identity=self.identity,
            )
        tried: list[AuthTried] = []
        try:
            token = await self._tokens.token(tried.append, good_for_s)
        finally:
            for attempt in tried:
                await on_try(attempt)
        self._token = token
        self.learn(token)
        return token

    def learn(self, *values: str) -> None:
        """These are secrets from here on."""
        new = [value for value in dict.fromkeys(values) if value not in self._learnt]
        if new:
            self._learnt += new
            self.redactor = self.known.redactor(*self._learnt)

    def remember(self, names: Sequence[str]) -> None:
        """Tests of the session, before any is collected, as they were called in another process."""
        self._names = ShownNames(self._session, lambda: self.redactor, names, self.learn)

    def token_life(self) -> TokenLife | None:
        """See `Toolbox.token_life`."""
        return None if self._tokens is None else self._tokens.life()

    def _filled(self, value: Any) -> Any:
        return self._asking.any(value)

    def _argv(self, command: Command) -> tuple[str, ...]:
        return self._asking.command(command)

    async def identity(self, audience: str | None) -> Token:
        """An identity token, for the first service's main URL where `audience` is None: to Cloud Run a tag's own URL
        names nobody. The embedded cloud's metadata server makes its tokens. Raises Refused.
        """
        from netra_loop.cloud.auth_identity import METADATA_HOST, ask_identity

        cloud = await self.cloud()
        if audience is None:
            audience = await self._audience(cloud)
        env = {**self.environ}
        if self._embedded is not None:
            env[METADATA_HOST] = self._embedded.metadata
        return await ask_identity(audience, self._clock, env)

    async def _audience(self, cloud: Cloud | None) -> str:
        from netra_loop.cloud.auth_ways import Refused

        first = next(iter(self._spec.services), None)
        if first is None:
            raise Refused(None, "it needs an audience, expected one in the loop file, since that has no services")
        standing = await cloud.standing(first) if cloud is not None else None
        url = self._asking.service_url(first) if cloud is None else standing and standing.url
        if not url:
            raise Refused(None, f"it needs an audience, and service {first!r} has no URL yet")
        return url

    async def request(self, url: str, trace_id: str, token: str | None = None) -> int | None:
        """See `Toolbox.request`. Redirects are not followed, so the token goes nowhere else."""
        headers = {"traceparent": f"00-{trace_id}-{trace_id[:16]}-01", "user-agent": f"netra-loop ({self._session})"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        if url.startswith("http:"):
            try:
                async with asyncio.timeout(_MARK_TIMEOUT_S):
                    return await plain_http.get(url, headers, _MARK_BODY)
            except OSError:  # TimeoutError is one
                return None  # told by the logs never becoming complete
        import httpx  # with TLS, proxies and 13 MB, only where there is something to ask over TLS

        try:
            async with (
                asyncio.timeout(_MARK_TIMEOUT_S),
                httpx.AsyncClient() as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                async for _ in answer.aiter_raw():
                    if answer.num_bytes_downloaded > _MARK_BODY:  # it may be endless
                        break
                return answer.status_code
        except (httpx.TransportError, TimeoutError):
            return None

    async def close(self) -> None:
        """Ends the tests' processes and the embedded cloud. Safe to repeat."""
        async with contextlib.AsyncExitStack() as stack:
            if self._embedded is not None:
                stack.push_async_callback(self._embedded.stop, grace_s=_CLOUD_GRACE_S)
            if self._cloud is not None:
                stack.push_async_callback(self._cloud.close)
            if self._pool is not None:
                stack.push_async_callback(self._pool[1].close)
            stack.push_async_callback(self._drop_ahead)
        self._embedded = self._cloud = self._pool = None

    async def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await ahead.end()


def _import_cloud() -> None:
    with lean_imports():
        importlib.import_module("netra_loop.cloud.google")


def _home(spec: LoopSpec) -> Path:
    """The folder that a loop's own paths mean something in: tests may run further down than where the sources lie."""
    base = spec.base_dir.parent if spec.base_dir.name == "loops" else spec.base_dir
    return Path(os.path.commonpath([base, spec.root_dir]))


async def git_facts(folder: Path) -> Mapping[str, str]:
    """`sha`, `short_sha` and `branch` of the repository `folder` lies in; empty where there is none."""
    sha = await _git(folder, "rev-parse", "HEAD")
    if sha is None:
        return {}
    short, branch = await asyncio.gather(
        _git(folder, "rev-parse", "--short", "HEAD"), _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    )
    return {} if short is None or branch is None else {"sha": sha, "short_sha": short, "branch": branch}


async def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it is not installed, or refuses."""
    try:
        process = await asyncio.create_subprocess_exec(
            "git", "-C", str(folder), *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        return None
    output, _ = await process.communicate()
    return output.decode().strip() if process.returncode == 0 else None
