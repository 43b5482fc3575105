"""Makes a worker's own what a fork shares: captured output, temporary folders, random numbers, stack dumps.

pytest captures into temporary files whose offset belongs to all forks together; here each worker's descriptors are bent
onto files of its own, under the same numbers, so that whoever kept a stream from collection time goes on writing.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import random
import signal
from collections.abc import Iterable
from typing import Any

from .outcome import SIDE
from .wire import Message, Real

_thresholds = gc.get_threshold()


def hold_garbage() -> None:
    """Collection begins: its garbage stays, so that it leaves no holes for the forks to fill.

    Each hole filled would be a page that is no longer shared. What a conftest asks of the collector it gets.
    """
    gc.set_threshold(0)


def release_garbage() -> None:
    """Collection is over; a threshold that a conftest set is let be."""
    if gc.get_threshold()[0] == 0:
        gc.set_threshold(*_thresholds)


def dump_signal() -> int:
    """The signal that makes a worker write the stacks of all its threads; no test has a use for it."""
    return int(signal.SIGRTMAX) - 3 if hasattr(signal, "SIGRTMAX") else int(signal.SIGUSR2)


def separate(config: Any, order: Message, *, forked: bool) -> None:
    """`order["files"]` is the common beginning of the names of this worker's files: `.log .out .err .stacks`."""
    files = order["files"]
    if forked:
        atexit._clear()  # noqa: SLF001 - the zygote's exit handlers are the zygote's
        _own_output(files)
        _own_folder(config, files)
        random.seed()
    own_capture(config, files)
    faulthandler.enable(file=listen_for_dumps(files))  # pytest's own writes to a stream that all forks share


def listen_for_dumps(files: str) -> int:
    """From here on the dump signal writes all threads' stacks, even while C code holds the interpreter's lock. The
    descriptor that they go to, which stays open for as long as the process lives.
    """
    stacks = os.open(files + ".stacks", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    faulthandler.register(dump_signal(), file=stacks, all_threads=True)
    return stacks


def _bend(numbers: Iterable[int], path: str) -> None:
    new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    for number in numbers:
        os.dup2(new, number, os.get_inheritable(number))
    os.close(new)


def _own_output(files: str) -> None:
    _bend((1, 2), files + ".log")


def own_capture(config: Any, files: str) -> None:
    """Bends what pytest captures into, if it has begun to, onto files of this process's own, where its size can be seen
    and bounded from outside.
    """
    manager = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    saved = []
    for name, stream in (("out", ".out"), ("err", ".err")):
        capture: Any = getattr(capturing, name, None)
        try:
            number = capture.tmpfile.fileno()
        except Exception:  # noqa: S112 - captured in memory, or not at all: nothing is shared
            continue
        saved.append(getattr(capture, "targetfd_save", None))
        _bend((number,), files + stream)
        capture.snap = _bounded_snap(capture, number)
    _bend([number for number in saved if number is not None], files + ".log")


def _bounded_snap(capture: Any, number: int) -> Any:
    # a flood of output stays on the disk: only its head and tail are ever read into memory
    whole = capture.snap

    def snap() -> Any:
        size = Real.fstat(number).st_size
        if size <= 4 * SIDE or not isinstance(capture.EMPTY_BUFFER, str):
            return whole()
        head = Real.pread(number, SIDE, 0).decode("utf-8", "replace")
        tail = Real.pread(number, SIDE, size - SIDE).decode("utf-8", "replace")
        Real.ftruncate(number, 0)
        Real.lseek(number, 0, 0)
        return f"{head}\n[... {size - 2 * SIDE} of {size} bytes left out ...]\n{tail}"

    return snap


def hush(config: Any) -> None:
    """What pytest prints of its progress goes nowhere: beside what tests print it would read as theirs."""
    with contextlib.suppress(Exception):  # a pytest of another make, or one without a reporter
        reporter = config.pluginmanager.getplugin("terminalreporter")
        reporter._tw._file = open(os.devnull, "w")  # noqa: SLF001, SIM115
        reporter.showfspath = False  # a path to be worked out for each test


class Log:
    """What went past pytest's capture while a test ran: all of its output under `-s`, that of C code under `sys`."""

    def __init__(self, config: Any, files: str) -> None:
        self._number = os.open(files + ".log", os.O_RDONLY | os.O_CREAT, 0o600)
        self._start = 0
        self._twice = getattr(config.option, "capture", "") == "tee-sys"  # pytest has all of it, too

    def mark(self) -> int:
        """A test begins; where in the file that is, in bytes."""
        self._start = self._size()
        return self._start

    def since(self) -> str:
        """What came since, its middle left out where it is long, under a heading; empty for nothing."""
        size = self._size() - self._start
        if size <= 0 or self._twice:
            return ""
        head = Real.pread(self._number, min(size, SIDE), self._start).decode("utf-8", "replace")
        tail_size = min(size - SIDE, SIDE)
        if tail_size > 0:
            gap = size - SIDE - tail_size
            cut = f"\n[... {gap} of {size} bytes left out ...]\n" if gap else ""
            head += cut + Real.pread(self._number, tail_size, self._start + size - tail_size).decode("utf-8", "replace")
        return "---- process output ----\n" + (head if head.endswith("\n") else head + "\n")

    def _size(self) -> int:
        try:
            return int(Real.fstat(self._number).st_size)
        except OSError:  # the test closed descriptors that were not its own
            return self._start


def _own_folder(config: Any, files: str) -> None:
    factory: Any = getattr(config, "_tmp_path_factory", None)
    try:
        base = factory.getbasetemp()
        factory._given_basetemp = base / ("popen-" + os.path.basename(files))  # noqa: SLF001
        factory._basetemp = None  # noqa: SLF001
    except (AttributeError, OSError):
        pass  # a pytest of another make numbers its folders itself; what the disk refuses, tests will tell of
