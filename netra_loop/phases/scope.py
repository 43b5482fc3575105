"""What `${…}` stands for, at the moment it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from netra_loop.core import template
from netra_loop.core.spec import Command, EnvironmentSpec, LoopSpec
from netra_loop.errors import UsageError
from netra_loop.values import dataclass

if TYPE_CHECKING:
    from netra_loop.core.records import Revision


@dataclass(frozen=True)
class Scope:
    """The values of all variables. `token` and `git` are looked up beforehand, since that takes time; `git` is empty
    outside a repository. `saved` are a journey's own names; `building` holds `image` and `source` for a build command.
    """

    spec: LoopSpec
    environment: str
    session: str
    iteration: int
    environ: Mapping[str, str]
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    token: str | None = None
    git: Mapping[str, str] = field(default_factory=dict)
    saved: Mapping[str, str] = field(default_factory=dict)
    building: Mapping[str, str] = field(default_factory=dict)

    def lookup(self, name: str) -> str | None:
        """The value of `name`, such as `vars.user`; None where it is not set. Raises UsageError where it cannot be
        known yet, such as the URL of a service before its deploy.
        """
        root, _, rest = name.partition(".")
        match root:
            case "env":
                return self.environ.get(rest)
            case "vars":
                value = self.spec.vars.get(rest)
                return None if value is None else template.render(value, self.lookup)
            case "environment":
                return self._environment(rest)
            case "services":
                return self._service(rest)
            case "auth":
                return self.token
            case "git":
                return self.git.get(rest)
            case "session":
                return self.session
            case "iteration":
                return str(self.iteration)
            case "saved":
                return self.saved.get(rest)
            case "image" | "source":
                return self.building.get(root)
        return None

    def text(self, value: str) -> str:
        """`value` with everything filled in."""
        return template.render(value, self.lookup)

    def any(self, value: Any) -> Any:
        """The same for the strings within lists and mappings."""
        return template.render_any(value, self.lookup)

    def command(self, command: Command) -> tuple[str, ...]:
        """`command` ready to be started: a list without a shell, a string under `sh -c` with each value quoted."""
        if isinstance(command, str):
            return ("/bin/sh", "-c", template.render_shell(command, self.lookup))
        return tuple(self.text(word) for word in command)

    def with_token(self, token: str | None) -> Scope:
        """The same scope with `${auth.token}` known."""
        return replace(self, token=token)

    def with_saved(self, saved: Mapping[str, str]) -> Scope:
        """The same scope with a journey's saved names."""
        return replace(self, saved=saved)

    def with_build(self, image: str, source: str) -> Scope:
        """The same scope with a build command's `${image}` and `${source}`."""
        return replace(self, building={"image": image, "source": source})

    def spec_environment(self) -> EnvironmentSpec:
        """The environment this session runs in."""
        return self.spec.environments[self.environment]

    def service_url(self, service: str) -> str | None:
        """Where a service is tested: its own `url`, else that of its revision; None before it has either. A revision
        that is tested at a tag is not what a custom domain leads to.
        """
        custom, revision = self.spec.services[service].url, self.revisions.get(service)
        if custom is not None and (revision is None or revision.tag is None):
            return self.text(custom).rstrip("/")
        return revision.url if revision else None

    def _environment(self, rest: str) -> str | None:
        if rest == "name":
            return self.environment
        value = self.spec_environment().model_dump().get(rest)
        return self.text(value) if isinstance(value, str) else None

    def _service(self, rest: str) -> str | None:
        service, _, what = rest.rpartition(".")
        url = self.service_url(service)
        revision = self.revisions.get(service)
        value = {"url": url, "ws_url": websocket_url(url), "revision": revision.name if revision else None}.get(what)
        if value is None:
            raise UsageError(
                f"${{services.{rest}}} is not known yet: service {service!r} has no revision",
                hint="put a phase that uses deploy or attach before this one, or give the service a url",
            )
        return value


def websocket_url(url: str | None) -> str | None:
    """`url` with ws for http and wss for https."""
    if url is None:
        return None
    return "ws" + url.removeprefix("http") if url.startswith("http") else url
