"""What `run` and `resume` tell GitHub Actions once they are done with a session."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from netra_loop.core.goal import final_results
from netra_loop.core.records import Authenticity, Evidence, Finding, Result
from netra_loop.core.spec import LoopSpec
from netra_loop.journal.base import Journal
from netra_loop.report import phrases
from netra_loop.report.github import GitHub
from netra_loop.report.github_summary import Told
from netra_loop.report.view import SessionView
from netra_loop.settings import Settings

_TOLD = 200  # tests
_WITH_PLACE = 20  # of them, whose tracebacks are read
_READ_ALL = 20_000


async def tell(
    journal: Journal, settings: Settings, view: SessionView, findings: Sequence[Finding], spec: LoopSpec
) -> None:
    """Summary, annotations and outputs of the step, as far as the runner asks for them. Raises StoreError."""
    failing = await _failing(journal, view, findings)
    sources = [spec.base_dir / service.source for service in spec.services.values()]
    GitHub(settings.environ, say).tell(Told(view, findings, failing), [spec.root_dir, *sources])


def say(line: str) -> None:
    """One line of the log, as it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


async def _failing(journal: Journal, view: SessionView, findings: Sequence[Finding]) -> list[Result]:
    """Tests of the newest iteration that failed or passed without being real, those of the largest finding first."""
    named = list(dict.fromkeys(test for one in phrases.in_order(findings) for test in one.tests))[:_TOLD]
    if named:
        stored = await journal.results(view.session, view.iteration, test=named, bodies=False)
    elif view.tests.get("selected", 0) <= _READ_ALL:  # nothing was judged yet
        stored = await journal.results(view.session, view.iteration, bodies=False)
    else:
        return []
    final = final_results(stored)
    order = [final[test] for test in named or final if test in final]
    failing = [one for one in order if one.outcome.is_failure or one.authenticity is Authenticity.FAKE][:_TOLD]
    first = [one.id for one in failing[:_WITH_PLACE]]
    read = await journal.results(view.session, view.iteration, test=first) if first else []
    whole = {(one.id, one.attempt): replace(one, output="", evidence=Evidence()) for one in read}
    return [whole.get((one.id, one.attempt), one) for one in failing]
