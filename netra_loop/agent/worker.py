"""One worker: takes tests one after the other, runs each through pytest's own protocol, tells what came of it.

The next test is asked for when the current one is over, not before, and known when that is torn down: so no test waits
behind a long one, and fixtures of wider scope are torn down exactly when pytest would. See `Upcoming`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import evidence, outcome, private, sharing, system, wear
from .page import Page
from .wire import Line, Message, monotonic, wall

_BLIND = frozenset({"_pytest", "pytest_rerunfailures"})  # they do no more than hand it on
_pid = os.getpid  # whatever the running test makes of it


def enrol(config: Any, order: Message) -> None:
    """Makes this process the worker that pytest-xdist's conventions describe."""
    os.environ["PYTEST_XDIST_WORKER"] = order["name"]
    os.environ["PYTEST_XDIST_WORKER_COUNT"] = str(order["count"])
    os.environ["PYTEST_XDIST_TESTRUNUID"] = order["uid"]
    config.workerinput = {
        "workerid": order["name"],
        "workercount": order["count"],
        "testrunuid": order["uid"],
        "mainargv": list(sys.argv),
    }
    config.workeroutput = {}


def silence(config: Any) -> None:
    """No summary at the end: nobody reads it, and what plugins do for one can cost seconds."""
    plugins = config.pluginmanager
    reporter = plugins.getplugin("terminalreporter")
    if reporter is None:
        return
    try:
        config.hook.pytest_sessionfinish._remove_plugin(reporter)  # noqa: SLF001 - where its summary begins
    except (AttributeError, ValueError):  # a pluggy, or a pytest, of another make
        plugins.unregister(reporter)


class Upcoming:
    """The `nextitem` of a test while it is not yet known which that is: it asks when it is first looked at.

    pytest looks when it tears the test down (`listchain`); an empty chain, where nothing comes, means what None means
    to pytest. To others it does not: see `_looked_at`.
    """

    def __init__(self, worker: Worker, key: int) -> None:
        self._worker = worker
        self._key = key

    def listchain(self) -> list[Any]:
        """The next test's chain of collectors; empty where there is no next test."""
        item = self._worker.ask(self._key)
        return [] if item is None else list(item.listchain())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker.ask(self._key), name)


def _looked_at(config: Any) -> bool:
    """Whether someone beside pytest is handed `nextitem`, and may ask whether it is None."""
    hook = config.hook
    return any(
        "nextitem" in given.argnames and str(getattr(given.function, "__module__", "")).split(".")[0] not in _BLIND
        for caller in (hook.pytest_runtest_protocol, hook.pytest_runtest_teardown)
        for given in caller.get_hookimpls()
    )


class Worker:
    """Runs the tests of `session` that the orchestrator names by their index."""

    line: Line

    def __init__(self, session: Any) -> None:
        """After collection and before any fork: what is set up here costs no worker anything."""
        self._session = session
        self._order: Message = {}
        self._hello: list[Message] = []
        self._token: Message | None = None
        self._quit = False
        self._reports: list[Any] = []
        self._key = self._asked = -1
        self._timer = sharing.Timer()
        self._wear = wear.Wear()
        plugins = session.config.pluginmanager
        for plugin, name in ((self, "worker"), (self._timer, "timer"), (self._wear, "wear")):
            plugins.register(plugin, f"netra-loop-{name}")
        private.hush(session.config)
        silence(session.config)
        self._eager = _looked_at(session.config)

    def become(self, line: Line, order: Message, *, forked: bool) -> None:
        """Makes this process the one that `order` names. Nobody has said hello yet for one forked a moment ago."""
        self.line, self._order, self._own = line, order, _pid()
        if forked:
            self._hello = [{"is": "hello", "token": order["token"], "pid": os.getpid()}]
        enrol(self._session.config, order)
        if not forked:
            system.adopt_orphans()
        private.separate(self._session.config, order, forked=forked)
        self._log = private.Log(self._session.config, order["files"])
        self._page = Page(order["files"] + ".page")

    def serve(self) -> None:
        """Until told to quit, or the orchestrator is gone, or a test ended the session."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.unfreeze()  # a test that asks for all objects, or for who refers to one, is to find those of collection time
        self.line.send(*self._hello, {"is": "ready"})
        try:
            while not self._quit:
                message = self._token or self.line.receive()
                self._token = None
                if message is None or message["is"] == "quit":
                    return
                if message["is"] == "run":
                    self._run(message)
        except KeyboardInterrupt:
            return
        finally:
            gc.freeze()  # pytest collects garbage again and again when it ends: not through all that was inherited

    def ask(self, key: int) -> Any:
        """The item that comes after test `key`, None where nothing does."""
        if key == self._key:
            self._inquire()
            if self._token is None:
                self._token = self.line.receive() or {"is": "quit"}
        return self._item(self._token)

    def _inquire(self) -> None:
        """Asks what comes next, once for each test, unless that was said already."""
        if self._token is None and self._asked != self._key:
            self._token = self.line.peek()
            if self._token is None:
                self.line.send({"is": "ask", "key": self._key})
                self._asked = self._key  # not before: a handler of the test's may raise here; asked twice is as once

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keeps the reports of the running test; tells what is known once its call is over, in case teardown hangs."""
        self._reports.append(report)
        if report.when == "call" and not hasattr(report, "context"):
            message = {**self._judged("called"), "seen": evidence.rest()}
            if not self._page.take(message):
                self.line.send(message)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        """See `_only_here`."""
        before = _pid()
        self._only_here(before, (yield))

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """See `_only_here`. What comes next is said while what came of this one is worked out."""
        before = _pid()
        self._only_here(before, (yield))
        if before == self._own:  # else a plugin's fork around the test, which goes on by itself
            self._inquire()

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """See `_only_here`."""
        before = _pid()
        self._only_here(before, (yield))

    @staticmethod
    def _only_here(before: int, result: Any) -> None:
        """A child that a test forked and let run back to pytest ends here: it would report, and run what follows. One
        that a plugin forked around the test, and which tells it what came of it, goes on.
        """
        if _pid() == before:
            return
        error = result.excinfo[1] if result.excinfo else None
        code = error.code if isinstance(error, SystemExit) else int(error is not None)
        os._exit(code if isinstance(code, int) else int(code is not None))

    def _item(self, message: Message | None) -> Any:
        return self._session.items[message["index"]] if message and message["is"] == "run" else None

    def _run(self, message: Message) -> None:
        self._key = message["key"]
        item = self._session.items[message["index"]]
        self._reports = []
        self._token = self.line.peek()
        self._page.clear()
        begun, at = monotonic(), wall()
        self.line.send({"is": "began", "key": self._key, "at": at, "log": self._log.mark()})
        self._timer.begin()
        watched = self._order["evidence"]
        evidence.begin(
            message["trace"], self._pass_on if watched else None, self._order["files"] + ".forks" if watched else None
        )
        if self._eager:
            self.ask(self._key)
        following = Upcoming(self, self._key) if self._token is None else self._item(self._token)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except (pytest.exit.Exception, KeyboardInterrupt, SystemExit) as stop:
            self._stopped(stop)
            return
        except BaseException:
            self._stopped(None, traceback.format_exc())
            return
        elapsed = monotonic() - begun
        self._quit = self._quit or self._wear.spent()
        self._tell("ended", elapsed=elapsed, evidence=evidence.end(), timed=self._timer.take(), last=self._quit)
        self._reports = []

    def _pass_on(self, news: Callable[[], Message | None]) -> None:
        def message() -> Message | None:
            seen = news()
            return None if seen is None else {"is": "seen", "key": self._key, "seen": seen}

        if not self._page.room():
            self.line.offer(message)
            return
        made = message()
        if made is not None and not self._page.take(made):
            self.line.offer(lambda: made)

    def _stopped(self, stop: BaseException | None, text: str = "") -> None:
        # pytest would end the session here; for us only this worker ends, and another takes its place
        kind = "pytest.exit" if isinstance(stop, pytest.exit.Exception) else type(stop).__name__
        why = "pytest broke inside the test" if stop is None else f"{kind}: {stop}".rstrip(": ")
        self._quit = True
        told = text or traceback.format_exc()
        self._tell("ended", stopped=why, traceback=told, evidence=evidence.end(), last=True)

    def _judged(self, what: str) -> Message:
        message = outcome.judge(self._reports, self._session.config)
        message["output"] += self._log.since()
        message.update({"is": what, "key": self._key})
        return message

    def _tell(self, what: str, **more: Any) -> None:
        self.line.send({**self._judged(what), **more})
