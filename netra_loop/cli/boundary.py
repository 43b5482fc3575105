"""The one error boundary around the commands.

Three kinds of failure end here: your mistake or your environment's (an error of `netra_loop.errors`: message, hint, its
exit code), ours (anything else: exit 4, the traceback kept in a file), and Ctrl-C. Nothing heavy is imported here but
Typer, since `--help`, `--version` and shell completion must feel instant; each command imports what it needs.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from netra_loop.cli.hints import hints_to_type
from netra_loop.cli.words import LOOKING, SESSIONS, command_of, store_of
from netra_loop.core.collecting import seldom
from netra_loop.errors import EnvironmentFailed, Interrupted, NetraLoopError, UsageError
from netra_loop.settings import read

if TYPE_CHECKING:
    from netra_loop.cli.opening import Opening


_PAUSED = 75


def typed(opening: Opening | None = None) -> int:
    """Does what the process's command line says, and answers with the contract's exit code. `opening` is what the front
    door has begun for `run`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # else what it is was chosen by whoever put it there
            stream.reconfigure(errors="backslashreplace")  # no odd letter ends a command that is to tell of it
    told = _Unbroken(sys.stdout)
    sys.stdout, sys.stderr = cast("TextIO", told), cast("TextIO", _Unbroken(sys.stderr))
    arguments = sys.argv[1:]
    if command_of(arguments) in LOOKING:
        gc.disable()
    elif command_of(arguments) in SESSIONS:
        seldom()
    try:
        code = _run(arguments, opening)
    finally:
        if opening is not None:
            opening.close()
    atexit._run_exitfuncs()  # noqa: SLF001 - nothing is left to be done but to take the interpreter apart, object by object
    sys.stdout.flush()
    if told.trouble and not code and command_of(arguments) not in SESSIONS:
        lost = EnvironmentFailed(f"standard output cannot be written: {told.trouble}")
        _tell(lost)
        code = lost.exit_code
    sys.stderr.flush()
    return code


class _Unbroken:
    """A stream whose reader may go away (`| head`), or that cannot be written (a full disk): what is said from then on
    is lost, and nothing else. What was asked for goes on, and the exit code says how it went.

    `trouble` is why it cannot be written, "" while it can, and where a reader only went away: it had enough.
    """

    def __init__(self, stream: TextIO) -> None:
        self.broken = False
        self.trouble = ""
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._divert(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._divert(error)

    def _divert(self, error: OSError) -> None:
        self.broken = True
        if not isinstance(error, BrokenPipeError):
            self.trouble = self.trouble or error.strerror or str(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _run(arguments: list[str], opening: Opening | None = None) -> int:
    try:
        from netra_loop.cli.commands import understand  # Typer: whatever was begun need not wait for that

        with hints_to_type(lambda: read(store_of(arguments)).command()):
            understand(arguments, opening)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except NetraLoopError as error:
        meant = error if error.exit_code == _PAUSED else _short_of_files(error) or error
        _tell(meant)
        return meant.exit_code
    except KeyboardInterrupt:
        return 130
    except FileNotFoundError as error:
        if _stands_somewhere():
            return _defect(error)
        lost = UsageError("the working directory was removed", hint="go to one that is there: cd PROJECT")
        _tell(lost)
        return lost.exit_code
    except Exception as error:  # noqa: BLE001 - the boundary: what reaches it unnamed is a defect of ours
        short = _short_of_files(error)
        if short is None:
            return _defect(error)
        _tell(short)
        return short.exit_code
    return 0


def _short_of_files(error: Exception) -> NetraLoopError | None:
    """What to tell instead where the system lets us open no more files, which may come up anywhere."""
    from netra_loop.open_files import behind

    return behind(error)


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _tell(error: NetraLoopError) -> None:
    from netra_loop.report.safe import safe_text  # what is told may quote a service, a command or a file

    name = "" if error.exit_code == _PAUSED or isinstance(error, Interrupted) else "error: "
    sys.stderr.write(f"{name}{safe_text(str(error))}\n")
    if error.hint:
        sys.stderr.write(f"{safe_text(error.hint)}\n")


def _defect(error: Exception) -> int:
    from netra_loop.cli.defects import told

    sys.stderr.write(f"defect: {told(error)}\n")
    return 4
