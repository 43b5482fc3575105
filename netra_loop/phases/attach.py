"""`uses: attach`: test the revision that serves now, without deploying."""

from __future__ import annotations

from netra_loop.errors import EnvironmentFailed
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.readiness import look
from netra_loop.phases.serving import revision_ready, under_test


class Attach:
    """Looks and changes nothing, so looking again after a crash is all there is to reconcile."""

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. A service that serves nothing, or at whose URL nobody answers, is the environment's
        failure.
        """
        cloud = await context.tools.cloud()
        names = []
        for service, spec in context.spec.services.items() if cloud else ():
            assert cloud is not None
            found = await cloud.serving(service)
            if found is None:
                raise EnvironmentFailed(
                    f"service {service!r} serves no revision to attach to",
                    hint="deploy it first, with a phase that uses deploy",
                )
            revision = under_test(context.scope(), spec, found)
            await look(context, revision, spec)
            await context.event(revision_ready(revision))
            names.append(revision.name)
        return PhaseResult("ok", f"attached to {', '.join(names) or 'what is there'}", {"revisions": names})

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)
