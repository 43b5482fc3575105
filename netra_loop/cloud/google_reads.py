"""Reading entries page by page, from whatever Cloud Logging makes of it: quotas, failures that pass, tokens that end,
empty pages, entries in pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice, takewhile
from operator import attrgetter, lt
from typing import Any

from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse

from netra_loop.clock import rfc3339
from netra_loop.cloud.base import LogPage, LogQuery
from netra_loop.cloud.google_calls import Calls
from netra_loop.cloud.google_link import Link
from netra_loop.cloud.google_logs import entry_from, filter_of
from netra_loop.cloud.log_pieces import Pieces
from netra_loop.cloud.log_reads import OnWait, ReadBudget, process_budget, unheard
from netra_loop.core.collecting import uncollected
from netra_loop.core.records import LogEntry
from netra_loop.errors import CloudCallFailed

Ask = Callable[[ListLogEntriesRequest], Awaitable[ListLogEntriesResponse]]

_PAGE_LIMIT_S = 60.0
_BEGINNINGS = 5  # of one sweep, without a new entry between them
_WHAT = "reading log entries"
_Key = tuple[str, str]
_IN_ORDER, _NAMED = attrgetter("timestamp", "insert_id", "log"), attrgetter("insert_id", "log")


def asking(link: Link) -> Ask:
    """One call over `link`, as it is once ready."""

    async def ask(request: ListLogEntriesRequest) -> ListLogEntriesResponse:
        pager = await link.logging.list_log_entries(request, retry=None, timeout=_PAGE_LIMIT_S)
        async for page in pager.pages:
            return page
        return ListLogEntriesResponse()

    return ask


class LogReader:
    """Reads the entries of one project. `ask` makes the call once, and raises what the client library raises; `calls`
    tries again what may pass.

    Every call takes its turn from `budget` first. A wait for it of a second and more is told to `on_wait`.
    """

    def __init__(
        self, calls: Calls, ask: Ask, project: str, *, on_wait: OnWait | None = None, budget: ReadBudget | None = None
    ) -> None:
        self._calls = calls
        self._ask = ask
        self._project = project
        self._on_wait = on_wait or unheard
        self._budget = budget or process_budget()

    async def entries(self, query: LogQuery) -> AsyncIterator[LogPage]:
        """See `Cloud.entries`. A page token that is not taken any more begins the sweep again, at the newest entry."""
        since, token = query.since, ""
        newest: set[_Key] = set()  # the entries of the very instant `since`, all given already
        pieces = Pieces()
        beginnings = 0
        asked = filter_of(query, self._project)  # a token goes with the very same question
        while True:
            try:
                page = await self.page(asked, query.page_size, "timestamp asc", token, query.give_up)
            except CloudCallFailed as error:
                if not token or error.code != "INVALID_ARGUMENT" or beginnings == _BEGINNINGS:
                    raise
                asked, token = filter_of(replace(query, since=since), self._project), ""
                beginnings += 1
                continue
            with uncollected():
                entries = _fresh(pieces.put_together(page.entries, entry_from), newest)
            if entries:
                beginnings = 0
                if entries[-1].timestamp > since:
                    since, newest = entries[-1].timestamp, set()
                newest.update(_of_instant(entries, since))
            token = page.next_page_token
            yield LogPage(
                tuple(entries),
                cursor=rfc3339(since),
                last=not token,
                unfinished=() if token else tuple(pieces.unfinished(entry_from)),
            )
            if not token:
                return

    async def page(
        self, text: str, size: int, order: str, token: str = "", give_up: Callable[[], float] | None = None
    ) -> Any:
        """One page of what answers the filter `text`, as the protobuf message. Raises CloudCallFailed once waiting is
        no use, and OutOfReads as `LogQuery.give_up` says.
        """
        request = ListLogEntriesRequest(
            resource_names=[f"projects/{self._project}"], filter=text, order_by=order, page_size=size, page_token=token
        )

        async def call() -> Any:
            return ListLogEntriesResponse.pb(await self._ask(request))

        waiting, renewed = None, False
        while True:
            waited = await self._budget.turn(self._on_wait, give_up)
            if waiting is None or (waited and not renewed):  # the API is not to blame for our own budget
                waiting, renewed = self._calls.patient(), waiting is not None
            try:
                return await self._calls.once(_WHAT, call)
            except CloudCallFailed as error:
                used_up = error.code == "RESOURCE_EXHAUSTED"
                if not error.retryable or not await waiting.pause(error, give_up if used_up else None):
                    raise


def _fresh(entries: Sequence[LogEntry], given: set[_Key]) -> list[LogEntry]:
    """`entries` in the order of time, without copies and without those of `given`."""
    times = [entry.timestamp for entry in entries]
    if all(map(lt, times, islice(times, 1, None))):  # each later than the one before: in order, and no copies
        ordered = list(entries)
    else:
        ordered = sorted(entries, key=_IN_ORDER)
        if len(set(map(_NAMED, ordered))) < len(ordered):  # few pages; an instant takes long to find in a set
            ordered = list({_IN_ORDER(entry): entry for entry in ordered}.values())
    return [entry for entry in ordered if (entry.log, entry.insert_id) not in given] if given else ordered


def _of_instant(entries: Sequence[LogEntry], instant: datetime) -> Iterator[_Key]:
    """The entries of that instant, the last of them all."""
    last = takewhile(lambda entry: entry.timestamp == instant, reversed(entries))
    return ((entry.log, entry.insert_id) for entry in last)
