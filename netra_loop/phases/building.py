"""The images of a deploy: each service's build command, run before anything is changed.

Only where an image is what will be deployed: on google. The embedded cloud starts the service's `command` in its
`source`, and so does an emulator at an `endpoint` for a service that has one; no image is made or named there.
"""

from __future__ import annotations

import shlex

from netra_loop.cloud.base import Failed
from netra_loop.core import durations
from netra_loop.core.events import ImageBuilt
from netra_loop.core.spec import EnvironmentSpec, ServiceSpec
from netra_loop.errors import UsageError
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.commands import run_command
from netra_loop.phases.testbed import session_environment

BUILD_FAILED = "BuildFailed"
_MARK = "NETRA_LOOP_BUILD"
_LAST_LINES = 50


def takes_image(environment: EnvironmentSpec, spec: ServiceSpec) -> bool:
    """Whether this service's image is what is deployed there."""
    if environment.cloud != "google" or spec.image is None:
        return False
    return environment.endpoint is None or not spec.command


async def build(context: PhaseContext, service: str, spec: ServiceSpec) -> Failed | None:
    """Runs the service's build command, where it has one that is needed here; what went wrong, None where nothing did.

    A build that succeeded in this iteration is not run again, for it is in the journal; one that was cut off is, once
    what it left running is ended: so a build command has to bear being run twice.
    """
    if spec.build is None or not takes_image(context.environment, spec):
        return None
    scope = context.scope()
    image = scope.text(spec.image or "")
    if context.state().built.get(service) == image:
        return None
    source = (context.spec.base_dir / scope.text(spec.source)).resolve()
    command = scope.with_build(image, str(source)).command(spec.build)
    shown = context.redactor.text(shlex.join(command))
    context.observer.progress(f"building {service}: {shown}")
    run = f"{context.session}/{context.iteration}/{context.attempt}/{service}"
    environ = {**session_environment(context, scope), _MARK: run}
    try:
        ended = await run_command(
            command,
            cwd=context.spec.root_dir,
            environ=environ,
            mark=_MARK,
            timeout_s=spec.build_timeout_s,
            clock=context.clock,
        )
    except OSError as error:
        raise UsageError(
            f"the build of service {service!r} cannot start {command[0]!r}: {error.strerror}",
            hint=f"mend its build command in {context.spec.path.name}, then resume",
        ) from error
    if ended.code == 0:
        await context.event(ImageBuilt(service=service, image=context.redactor.text(image)))
        return None
    took = f"did not end within {durations.show(spec.build_timeout_s)}"
    told = took if ended.code is None else f"ended with exit code {ended.code}"
    lines = context.redactor.text(ended.output).splitlines()[-_LAST_LINES:]
    hint = f"run it by itself in {context.spec.root_dir}, mend it, then start again"
    return Failed(service, "", BUILD_FAILED, f"the build of service '{service}' {told}: {shown}", tuple(lines), hint)
