"""What an error says to type next works as it stands, whichever store was used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netra_loop.errors import NetraLoopError

_IN_A_STORE = re.compile(
    r"(?<![\w/.-])netra-loop (?=(?:run|resume|stop|list|status|watch|results|findings|logs|journal|bisect|report)\b)"
)


@contextmanager
def hints_to_type(command: Callable[[], str]) -> Iterator[None]:
    """Errors that leave the block say what to type with what `command` gives, which names the store that is used, for
    each `netra-loop` before a word that asks a store. Safe to nest: the innermost decides.
    """
    try:
        yield
    except NetraLoopError as error:
        if error.hint is not None:
            error.hint = _IN_A_STORE.sub(lambda _: f"{command()} ", error.hint)
        raise
