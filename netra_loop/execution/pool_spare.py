"""Guardians as processes: launched, and waited for. One may be launched ahead of what it is to guard, by a process that
has imported next to nothing yet: it takes as long to start as we do to find out what for.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import netra_loop.agent

if TYPE_CHECKING:  # whoever asks for a guardian has them; what it takes to launch one comes before them
    from pathlib import Path

    from netra_loop.cgroups import Group

AGENT = os.path.dirname(netra_loop.agent.__file__)  # noqa: PTH120 - before `pathlib` is there

# The agent is loaded by name from its own folder; the entry that `python -c` adds to the path is taken away. Tests that
# look through `sys.modules` may ask of any for its spec.
LOAD = """\
import sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
module = sys.modules["netra_loop_agent"] = type(sys)("netra_loop_agent")
module.__spec__ = type(sys.__spec__)("netra_loop_agent", None, is_package=True)
module.__path__ = module.__spec__.submodule_search_locations = [sys.argv[1]]
"""
GUARD = LOAD + "from netra_loop_agent.guardian import main\nmain()\n"
_BEGIN = LOAD + "from netra_loop_agent.main import main\nmain(*sys.argv[2:])\n"

_spare: list[Launched] = []


class Launched:
    """A guardian that waits for its order on the other end of `line`; it ends once that closes. `pid` is a child's, to
    be reaped by whoever took it.
    """

    def __init__(self) -> None:
        """Raises OSError."""
        self.line, theirs = socket.socketpair()
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            self.pid = _spawn(theirs.fileno(), nowhere)
        except BaseException:
            self.line.close()
            raise
        finally:
            os.close(nowhere)
            theirs.close()


def keep() -> None:
    """Launches one for whoever asks first. Where it cannot be, the one who asks launches his own, and is told why not.

    Not where a standard stream is closed: what is opened before that is mended would get its number.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        try:
            _spare.append(Launched())
        except OSError:
            return


def take() -> Launched:
    """The one that was kept, if it still lives, else a new one. Raises OSError."""
    while _spare:
        kept = _spare.pop()
        try:
            if os.waitpid(kept.pid, os.WNOHANG) == (0, 0):
                return kept
        except ChildProcessError:  # somebody else has reaped it
            pass
        kept.line.close()
    return Launched()


def interpreter(python: Path, socket: str, token: str, ahead: str = "") -> list[str]:
    """The command of a tests' interpreter with the agent in it (`agent.main`)."""
    return [str(python), "-c", _BEGIN, AGENT, socket, token, ahead]


def order(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: Path,
    group: Group | None,
    join: Group | None,
    heirs: bool,
) -> bytes:
    """What a guardian is told (`agent.guardian`)."""
    groups = {name: one and str(one.path) for name, one in (("group", group), ("join", join))}
    told = {
        "argv": list(argv),
        "env": dict(env),
        "cwd": str(cwd),
        "heirs": heirs,
        "output": str(output.absolute()),
    } | groups
    body = marshal.dumps(told)  # it is there without an import, and both ends are one interpreter
    return len(body).to_bytes(4, "big") + body


def _spawn(line: int, nowhere: int) -> int:
    """In a session of its own: a Ctrl-C is not for it. It closes for itself what it inherits beside these three."""
    argv = [sys.executable, "-I", "-S", "-c", GUARD, AGENT]
    streams = [(os.POSIX_SPAWN_DUP2, number, place) for number, place in ((line, 0), (nowhere, 1), (nowhere, 2))]
    reset = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ") if hasattr(signal, name)]
    try:
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=streams, setsigdef=reset, setsid=True)
    except NotImplementedError:  # a system whose own call has no such thing: it makes one when it begins
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=streams, setsigdef=reset)
