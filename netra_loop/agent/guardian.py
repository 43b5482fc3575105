"""Stands between netra-loop and one process of tests: takes in whatever that leaves behind, and ends it.

A small process of its own, in netra-loop's interpreter. Orphans below it become its children (it is a subreaper), in
whatever session they are. Its standard input is a socket: it ends all of them once that closes, which happens however
netra-loop ends, and tells there how they ended, a line each. What it is to start comes as a marshalled dict after its
length in four bytes:

`argv`, `env`, `cwd`; `output`, the file that its output is added to, and that of the guardian; `group`, the folder of a
cgroup that holds all of it, or null; `join`, the cgroup the process is put in, or null; `heirs`: whether the process's
own children live on when it dies (a zygote's workers do). Other orphans are killed as they come.

Every run waits for it to be there, so it imports little: `json`, `typing`, `contextlib` and the enumerations of
`signal` would take longer than all the rest of its start.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import marshal
import os
import select
import time

from . import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LINE = 0  # the socket's descriptor
_LENGTH = 4  # bytes before an order, the highest first
_LAST_STREAM = 2
_END_LIMIT_S = 30.0
_PAUSE_MS = 5


def main() -> None:
    """Does not return; ends as the process did, once nothing of it is left."""
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getsid(0) != os.getpid():
        os.setsid()
    _close_inherited()
    system.adopt_orphans()
    order = _order()
    if order is None:
        os._exit(0)
    os._exit(Guardian(order).serve())


class Guardian:
    """`serve` once."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._main = 0
        self._code = 0
        self._kept: set[int] = set()
        self._ended: list[tuple[int, int]] = []

    def serve(self) -> int:
        """The exit code that says most about how the process ended."""
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._main = self._start()
        try:
            self._watch(wake)
        finally:  # whatever happens to us, nothing of it is left
            self._end_all()
        return self._code

    def _watch(self, wake: int) -> None:
        """Until all of it has ended, or netra-loop is gone."""
        poll = select.poll()
        poll.register(_LINE, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while self._main or self._kept:
            for handle, _event in poll.poll():
                if handle == _LINE and not _heard():
                    return
                if handle == wake:
                    os.read(wake, 4096)
            self._look()

    def _start(self) -> int:
        failed, failing = os.pipe()  # closed by a successful exec
        parent = os.getpid()
        try:
            output = os.open(self._order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            pid = os.fork()
        except OSError as error:
            _tell(b"failed " + str(error).encode())
            os._exit(127)
        if pid == 0:
            self._become(failing, parent)
        os.close(failing)
        why = os.read(failed, 4096)
        os.close(failed)
        if why:
            os.waitpid(pid, 0)
            _tell(why)
            os._exit(127)
        _tell(b"started %d" % pid)
        return pid

    def _become(self, failing: int, parent: int) -> None:
        order = self._order
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            system.die_with(parent)
            system.join(order["join"])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(order["cwd"])
            _restore_signals()
            os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - no shell is meant
        except BaseException as error:
            os.write(failing, b"failed " + str(error).replace("\n", " ").encode("utf-8", "replace")[:4000])
        os._exit(127)

    def _look(self) -> None:
        """Reaps who ended, kills what came to us and has no right to live on, then tells of those that matter."""
        while self._reap():
            pass
        for pid in system.children() - self._kept - {self._main}:
            _kill(pid)
        self._tell_ends()

    def _tell_ends(self) -> None:
        for end in self._ended:
            _tell(b"%d %d" % end)
        self._ended.clear()

    def _reap(self) -> bool:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not pid:
            return False
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if pid == self._main:
            self._main = 0
            self._code = code if code >= 0 else 128 - code
            if self._order["heirs"]:  # they were handed to us before its end could be seen
                self._kept = system.children()
        elif pid not in self._kept:
            return True
        self._kept.discard(pid)
        self._ended.append((pid, code))
        return True

    def _end_all(self) -> None:
        system.kill_group(self._order["group"])
        end = time.monotonic() + _END_LIMIT_S
        while time.monotonic() < end:
            while self._reap():
                pass
            left = system.children()
            if not left:
                break
            for pid in left:
                _kill(pid)
            select.select((), (), (), _PAUSE_MS / 1000)
        self._tell_ends()
        system.remove_group(self._order["group"])


def _close_inherited() -> None:
    """What netra-loop was given beside the three standard streams, by make or a shell, is nothing for tests."""
    try:
        names = os.listdir("/dev/fd")
    except OSError:  # a system without such a folder
        return
    for name in names:
        if int(name) > _LAST_STREAM:
            try:
                os.close(int(name))
            except OSError:  # the one that was listed by
                continue


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # of another user: nothing of ours can end it
        return


def _heard() -> bool:
    """Whether netra-loop is still there; takes in what it sent meanwhile."""
    try:
        return bool(os.read(_LINE, 4096))
    except OSError:  # it is gone, and had not read all that we told
        return False


def _tell(text: bytes) -> None:
    try:
        os.write(_LINE, text + b"\n")
    except OSError:  # nobody listens any more; what is to be done is done all the same
        return


def _order() -> dict[str, Any] | None:
    """None where nobody gives one any more."""
    text, wanted = b"", _LENGTH
    while len(text) < wanted:
        data = os.read(_LINE, wanted - len(text))
        if not data:
            return None
        text += data
        if len(text) == _LENGTH:
            wanted += int.from_bytes(text, "big")
    return marshal.loads(text[_LENGTH:])  # type: ignore[no-any-return] # noqa: S302 - by our own parent, over a socket of ours


def _restore_signals() -> None:
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):  # Python ignores them; a program starts without that
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
