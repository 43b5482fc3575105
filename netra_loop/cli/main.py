"""The front door: hears signals before it does anything that takes time, then does what was typed.

`run` and `resume` listen from here to the very end of the process, which is `os._exit`: no signal finds a moment in
which it would mean the end of Python. To every other command it means what it means to any program.
"""

from __future__ import annotations

import os
import sys

from netra_loop.cli.words import SESSIONS, command_of
from netra_loop.engine.heard import EARS


def main() -> None:
    """Runs the command line and ends the process with the contract's exit code."""
    command = command_of(sys.argv[1:])
    if command in SESSIONS:
        EARS.listen()
    _open_what_is_closed()
    try:
        opening = None
        if command == "run" and not {"-h", "--help"} & set(sys.argv):
            from netra_loop.execution import pool_spare

            pool_spare.keep()  # before the next import: it takes as long to start as that does
            from netra_loop.cli.opening import Opening

            opening = Opening.glancing(sys.argv[1:])
        from netra_loop.cli.boundary import typed  # a tenth of a second: whatever was begun need not wait for it

        code = typed(opening)
    except KeyboardInterrupt:
        code = 130
    except Exception:  # noqa: BLE001 - where not even the boundary holds; Python's own code for it, 1, means another thing
        sys.excepthook(*sys.exc_info())
        code = 4
    os._exit(code)


def _open_what_is_closed() -> None:
    """A standard stream that we were started without (`>&-`) leads nowhere: else a file of ours gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


if __name__ == "__main__":
    main()
