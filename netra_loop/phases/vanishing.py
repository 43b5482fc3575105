"""The cloud that a session started for itself may die under its tests: by a signal, or for want of memory.

What tests say from then on is nothing about the revision. So it is marked as it is stored (`execute`), the tests are
not gone on with, and a resume, which starts the cloud again, runs those again. An instance that ends by itself is
another matter: that is the product's doing, while the cloud is there to tell of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from netra_loop.errors import EnvironmentFailed
from netra_loop.phases.base import PhaseContext

T = TypeVar("T")


async def while_there(context: PhaseContext, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises. Where the session's own cloud has ended by then, EnvironmentFailed is raised
    instead; where it ends before, `work` is cancelled and awaited first. Safe to cancel: `work` is, too.
    """
    task = asyncio.create_task(work)
    watching = asyncio.create_task(context.tools.until_gone())
    try:
        await asyncio.wait({task, watching}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and context.tools.gone() is None:
            return task.result()
    finally:
        watching.cancel()
        task.cancel()
        ended = await asyncio.gather(task, watching, return_exceptions=True)
    error = ended[0] if isinstance(ended[0], BaseException) else None
    if error is not None and not isinstance(error, EnvironmentFailed | asyncio.CancelledError):
        raise error  # a full disk, a defect: nothing that the cloud's end explains
    raise EnvironmentFailed(
        f"the embedded cloud, {context.tools.gone()}, ended while it was in use, expected it to serve until the "
        "session ends it; results since then do not count",
        hint=f"{context.tools.folder / 'cloud' / 'cloud.log'} has its last words; netra-loop resume {context.session} "
        "starts it again and runs those tests once more",
    ) from error
