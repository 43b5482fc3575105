"""The front door: hears signals before it does anything that takes time, then does what was typed.

`run` and `resume` listen from here to the very end of the process, which is `os._exit`: no signal finds a moment in
which it would mean the end of Python. To every other command it means what it means to any program.
"""

from __future__ import annotations

import os
import sys

from netra_loop.cli.words import SESSIONS, command_of
from netra_loop.engine.heard import EARS
from netra_loop.execution import pool_spare


def main() -> None:
    """Runs the command line and ends the process with the contract's exit code."""
    command = command_of(sys.argv[1:])
    if command in SESSIONS:
        EARS.listen()
    try:
        if command == "run" and not {"-h", "--help"} & set(sys.argv):
            pool_spare.keep()  # on the other core, while we import
        from netra_loop.cli.boundary import typed  # a tenth of a second

        code = typed()
    except KeyboardInterrupt:
        code = 130
    except Exception:  # noqa: BLE001 - where not even the boundary holds; Python's own code for it, 1, means another thing
        sys.excepthook(*sys.exc_info())
        code = 4
    os._exit(code)


if __name__ == "__main__":
    main()
