"""Where the system lets us open no more files: told from all else that may go wrong, and said with what to type.

Sockets, pipes and what is imported count as well, so it may come up anywhere, in the midst of anything.
"""

from __future__ import annotations

import errno
import os
import resource

from netra_loop.errors import NetraLoopError, TooManyOpenFiles

_AT_ONCE = 4  # more files that a store may need for one step: the -wal, its index, a journal, the folder


def behind(error: BaseException, *, then: str = "") -> TooManyOpenFiles | None:
    """What to say instead of `error`, where that is what is at the bottom of it; else None. `then` is the command to
    type once it is mended.
    """
    seen: list[BaseException | None] = [error]
    for one in seen:
        if isinstance(one, TooManyOpenFiles):
            return one
        if one is not None and (number := _refusal(one)) is not None:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            most = None if hard == resource.RLIM_INFINITY else hard
            return TooManyOpenFiles(None if number == errno.ENFILE else soft, most, _where(error, one), then=then)
        if one is not None:
            seen += [one.__cause__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
    return None


def exhausted() -> OSError | None:
    """What the system answers to who wants to open a few more files, None where it lets them be opened: for those whose
    library says of a file only that it could not be.
    """
    opened: list[int] = []
    try:
        for _ in range(_AT_ONCE):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - those before stay known
    except OSError as error:
        return error
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def _refusal(error: BaseException) -> int | None:
    """EMFILE or ENFILE, where that is what it says. The loader of shared libraries says it in words alone."""
    if isinstance(error, OSError):
        return error.errno if error.errno in {errno.EMFILE, errno.ENFILE} else None
    if isinstance(error, ImportError):
        return next((one for one in (errno.EMFILE, errno.ENFILE) if str(error).endswith(os.strerror(one))), None)
    return None


def _where(error: BaseException, bottom: BaseException) -> str:
    """What could not be done for it, as far as that is known."""
    if isinstance(error, NetraLoopError):
        return str(error)
    return repr(bottom.filename) if isinstance(bottom, OSError) and isinstance(bottom.filename, str) else ""
