"""What is done with an error that nobody foresaw: it is told in a line, and its traceback kept in a file of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netra_loop import __version__
from netra_loop.errors import NetraLoopError


def told(error: Exception) -> str:
    """A line or two that say what happened and where the traceback is: in a file, or right behind, where a file cannot
    be made. No secret of the environment's is in it.
    """
    import tempfile
    import traceback

    from netra_loop.core.secret_values import Secrets, of_environment
    from netra_loop.report.safe import safe_text

    hide = Secrets([*of_environment(os.environ)]).redactor().text
    said = f"{type(error).__name__}: {safe_text(hide(str(error)))}"
    whole = hide("".join(traceback.format_exception(error)))
    kept: dict[str, Any] = {"prefix": "netra-loop-defect-", "suffix": ".txt", "delete": False}
    ours = f"this is a fault of netra-loop {__version__}; please report it with"
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="backslashreplace", **kept) as file:
            file.write(whole)
    except OSError:
        return f"{said}\n{ours} this:\n{safe_text(whole)}"
    return f"{said}\n{ours} {file.name}"


@contextmanager
def nothing_but_told(what: str) -> Iterator[None]:
    """Whatever goes wrong in the block is told on stderr, and nothing else comes of it: for words about something that
    is done and stored, whose own result they must not replace.
    """
    try:
        yield
    except (NetraLoopError, OSError) as error:
        _say(f"{what} could not be told: {error}")
    except Exception as error:  # noqa: BLE001 - a defect of ours, told as such
        _say(f"{what} could not be told: {told(error).replace(chr(10), '; ')}")


def _say(text: str) -> None:
    from netra_loop.report.safe import safe_line

    sys.stderr.write(f"{safe_line(text)}\n")
