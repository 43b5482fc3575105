"""What `run` and `resume` tell GitHub Actions once they are done with a session."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from netra_loop.core.goal import final_results
from netra_loop.core.records import Authenticity, Evidence, Finding, Outcome, Result
from netra_loop.core.spec import LoopSpec
from netra_loop.journal.base import Counted, Journal
from netra_loop.report import phrases
from netra_loop.report.github import GitHub
from netra_loop.report.github_summary import Told
from netra_loop.report.view import SessionView
from netra_loop.settings import Settings

_TOLD = 200  # tests
_WITH_PLACE = 20  # of them, whose tracebacks are read
_ASKED = 500  # tests, asked for at a time
_READ = 20_000  # results, where nothing was judged that would name those that failed


async def tell(
    journal: Journal, settings: Settings, view: SessionView, findings: Sequence[Finding], spec: LoopSpec
) -> None:
    """Summary, annotations and outputs of the step, as far as the runner asks for them. Raises StoreError."""
    runner = GitHub(settings.environ, say)
    runner.outputs(view)
    failed = _count(await journal.counted(view.session, view.iteration))
    failing = await _failing(journal, view, findings, failed)
    sources = [spec.base_dir / service.source for service in spec.services.values()]
    runner.tell(Told(view, findings, failing, failed), [spec.root_dir, *sources])


def say(line: str) -> None:
    """One line of the log, as it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _counts(outcome: Outcome, authenticity: Authenticity) -> bool:
    return outcome.is_failure or authenticity is Authenticity.FAKE


def _count(counted: Counted) -> int:
    once = sum(number for (outcome, _, seen), number in counted.once.items() if _counts(outcome, seen))
    return once + sum(_counts(one.outcome, one.authenticity) for one in final_results(counted.retried).values())


async def _failing(journal: Journal, view: SessionView, findings: Sequence[Finding], failed: int) -> list[Result]:
    """Tests of the iteration that failed or passed without being real, those of the largest finding first; as many of
    the `failed` as can be told.
    """
    wanted = min(failed, _TOLD)
    named = list(dict.fromkeys(test for one in phrases.in_order(findings) for test in one.tests))
    failing: dict[str, Result] = {}
    for first in range(0, len(named), _ASKED):
        if len(failing) >= wanted:
            break
        asked = named[first : first + _ASKED]
        final = final_results(await journal.results(view.session, view.iteration, test=asked, bodies=False))
        failing |= {test: final[test] for test in asked if test in final and _fails(final[test])}
    if len(failing) < wanted:
        failing |= await _failing_unnamed(journal, view, wanted - len(failing), failing)
    told = list(failing.values())[:_TOLD]
    ids = [one.id for one in told[:_WITH_PLACE]]
    read = await journal.results(view.session, view.iteration, test=ids) if ids else []
    whole = {(one.id, one.attempt): replace(one, output="", evidence=Evidence()) for one in read}
    return [replace(whole.get((one.id, one.attempt), one), flaky=one.flaky) for one in told]


async def _failing_unnamed(
    journal: Journal, view: SessionView, wanted: int, known: Mapping[str, Result]
) -> dict[str, Result]:
    """The first so many that no finding names; fewer, where they come late among very many."""
    found: dict[str, Result] = {}
    read = 0
    async for page in journal.result_pages(view.session, view.iteration):
        final = final_results(page)  # a test's attempts are on one page
        found |= {test: one for test, one in final.items() if _fails(one) and test not in known}
        read += len(page)
        if len(found) >= wanted or read >= _READ:
            break
    return dict(islice(found.items(), wanted))


def _fails(result: Result) -> bool:
    return _counts(result.outcome, result.authenticity)
