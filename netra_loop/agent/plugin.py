"""The pytest plugin of every process of the pool: settles options, reports the collection, then hands over.

In the zygote `pytest_runtestloop` serves fork commands; in a fork, and in a spawned worker, it runs tests. Both ways
lead back out through pytest's own `pytest_sessionfinish`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from . import collection, fork_safety, private, worker, zygote
from .wire import Line, Message

# options that would run tests elsewhere, stop early, wait for a person, or have every worker write the same file
_INERT: dict[str, Any] = {
    "numprocesses": None,
    "dist": "no",
    "tx": [],
    "distload": False,
    "looponfail": False,
    "usepdb": False,
    "trace": False,
    "xmlpath": None,
    "stepwise": False,
    "collectonly": False,
}
_CHUNK = 200  # tests in one message: keeps both sides' buffers small


class Plugin:
    """`order` is the orchestrator's: `role` zygote or worker, `args`, `scratch`, and who the worker is."""

    def __init__(self, line: Line, order: Message) -> None:
        self.line = line
        self.order = order
        self.ran = False
        self.notes: list[str] = []
        self.errors: list[dict[str, str]] = []
        self.deselected = 0
        self.sources = collection.Sources()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_main(self, config: Any) -> Iterator[None]:
        """Before any plugin acts on them: options that would take the running of tests out of our hands."""
        self._settle(config.option)
        yield

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_load_initial_conftests(self, early_config: Any) -> Iterator[None]:
        """Once pytest captures, before it imports anything of the project's."""
        private.own_capture(early_config, self.order["files"])
        yield

    def pytest_configure(self, config: Any) -> None:
        """What suites written for pytest-xdist rely on, where it is not installed; and notes pytest's settings."""
        self.sources.configured(config)
        if not config.pluginmanager.hasplugin("xdist"):
            config.addinivalue_line("markers", "xdist_group: tests of one group run in one worker, one after the other")
            config.pluginmanager.register(XdistFixtures(), "netra-loop-fixtures")

    def pytest_plugin_registered(self, plugin: Any) -> None:
        """Notes what a conftest file held when it was loaded."""
        self.sources.registered(plugin)

    def pytest_collectstart(self, collector: Any) -> None:
        """Notes what a file holds when it is collected."""
        self.sources.collecting(collector)

    def pytest_collectreport(self, report: Any) -> None:
        """Files that could not be collected, and those that skipped themselves."""
        if report.failed:
            self.errors.append({"id": report.nodeid, "text": collection.text_of(report)})
        elif report.skipped:
            self.notes.append(f"{report.nodeid} was skipped at collection: {collection.skip_reason(report)}")

    def pytest_deselected(self, items: Any) -> None:
        """Counts what pytest's own options left out."""
        self.deselected += len(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Replaces pytest's loop."""
        self._report(session)
        self.ran = True
        if self.order["role"] == "worker":
            # not before: what is configured and collected sees a controller, as it does where workers are forked
            alone = worker.Worker(session)
            alone.become(self.line, self.order, forked=False)
            alone.serve()
            return True
        child = zygote.Zygote(self.line, session).serve()
        if child is not None:  # this is the fork
            self.line = child.line
            child.serve()
        return True

    def _settle(self, option: Any) -> None:
        if getattr(option, "maxfail", 0):
            option.maxfail = 0
            self.notes.append("--maxfail (or -x) is ignored: every selected test gets its result")
        if getattr(option, "cov_source", None):
            self.notes.append("--cov lacks data: each process measures for itself and writes over what others wrote")
        for name, value in _INERT.items():
            if hasattr(option, name):
                setattr(option, name, value)

    def _report(self, session: Any) -> None:
        folder = os.getcwd()
        names, describer, tests = collection.Names(session.items), collection.Describer(folder), []
        for start in range(0, len(session.items), _CHUNK):  # taken in there while the next ones are looked at here
            some = [describer.describe(item) for item in session.items[start : start + _CHUNK]]
            names.tell_apart(some)
            self.line.send({"is": "tests", "tests": some})
            tests += some
        if names.renamed:
            self.notes.append(f"several tests have one id: a number was put after it {names.renamed} times")
        reason = fork_safety.unsafe()
        self.line.send(
            {
                "is": "collected",
                "errors": self.errors,
                "deselected": self.deselected,
                "notes": self.notes,
                "spawn": reason,
                "sources": self.sources.of(session.items, tests, folder),
                "python": sys.version.split()[0],
            },
        )


class XdistFixtures:
    """The two fixtures of pytest-xdist, with its meaning."""

    @pytest.fixture(scope="session")
    def worker_id(self, request: Any) -> str:
        """`gw0` and so on."""
        return str(getattr(request.config, "workerinput", {}).get("workerid", "master"))

    @pytest.fixture(scope="session")
    def testrun_uid(self, request: Any) -> str:
        """The same in all workers of one run."""
        return str(getattr(request.config, "workerinput", {}).get("testrunuid", ""))
