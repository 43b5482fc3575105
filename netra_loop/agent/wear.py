"""What a test leaves behind in its process that could bring down the next test there: then that process is not used on.

Only what no test means to hand on: a timer that will kill the process, limits lower than they were. A working directory
or an environment variable may be a fixture's doing, and is what plain pytest would hand on, too.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
from _pytest import runner

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]

_LIMITS = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_STACK")
_NUMBERS = tuple(getattr(resource, name) for name in _LIMITS if hasattr(resource, name))
_getrlimit: Any = getattr(resource, "getrlimit", None)
_TIMERS = tuple(
    (getattr(signal, timer), getattr(signal, kind))
    for timer, kind in (("ITIMER_REAL", "SIGALRM"), ("ITIMER_VIRTUAL", "SIGVTALRM"), ("ITIMER_PROF", "SIGPROF"))
    if hasattr(signal, timer)
)
_getitimer: Any = getattr(signal, "getitimer", None)
_getsignal = signal.getsignal
_INFINITE = getattr(resource, "RLIM_INFINITY", -1)


class Wear:
    """Compares with how the process was when this was made. A plugin: where the process is spent, all that is still set
    up is torn down with the test that spent it, so that an error in doing so is in that test's result.
    """

    def __init__(self) -> None:
        self._limits = [(number, _getrlimit(number)[0]) for number in _NUMBERS]

    def spent(self) -> bool:
        """Whether the next test had better have another process."""
        for timer, kind in _TIMERS:
            if _getitimer(timer)[0] > 0 and _getsignal(kind) is signal.SIG_DFL:
                return True
        return any(_lower(_getrlimit(number)[0], before) for number, before in self._limits)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: Any) -> None:
        """After pytest's own, which left up what the next test would have used."""
        if self.spent():
            runner.pytest_runtest_teardown(item, None)


def _lower(now: int, before: int) -> bool:
    return now != _INFINITE and (before == _INFINITE or now < before)
