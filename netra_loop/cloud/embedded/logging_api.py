"""`google.logging.v2.LoggingServiceV2`: entries listed, written and tailed, logs named and deleted, over the store."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
from google.cloud.logging_v2.types import (
    DeleteLogRequest,
    ListLogEntriesRequest,
    ListLogEntriesResponse,
    ListLogsRequest,
    ListLogsResponse,
    WriteLogEntriesRequest,
    WriteLogEntriesResponse,
)
from google.protobuf import empty_pb2

from netra_loop.cloud.embedded.entry_form import fill
from netra_loop.cloud.embedded.knobs import KnobFile
from netra_loop.cloud.embedded.log_pages import ReadQuota, Token, page_size_of, question_of, token_of, written
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.log_tail import Tails
from netra_loop.cloud.embedded.log_writes import log_name_of, taken_of
from netra_loop.cloud.embedded.refusals import Refused, answering

SERVICE = "google.logging.v2.LoggingServiceV2"


class LoggingApi:
    """The handlers; one for each server. `close` comes before the server's own stop."""

    def __init__(self, store: LogStore, knobs: KnobFile) -> None:
        self._store = store
        self._knobs = knobs
        self._quota = ReadQuota()
        self.tails = Tails(store, knobs, self._quota)

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What the server is given."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "ListLogEntries": answering(self.list_entries, ListLogEntriesRequest, ListLogEntriesResponse.serialize),
                "WriteLogEntries": answering(
                    self.write_entries, WriteLogEntriesRequest, WriteLogEntriesResponse.serialize
                ),
                "TailLogEntries": self.tails.handler(),
                "ListLogs": answering(self.list_logs, ListLogsRequest, ListLogsResponse.serialize),
                "DeleteLog": answering(self.delete_log, DeleteLogRequest, empty_pb2.Empty.SerializeToString),
            },
        )

    def close(self) -> None:
        """Ends every tail."""
        self.tails.close()

    async def list_entries(self, request: ListLogEntriesRequest) -> ListLogEntriesResponse:
        """One page. A token goes with the very same question."""
        question, knobs = question_of(request), self._knobs.now()
        now_s = time.time()
        token = token_of(request, knobs, now_s)
        self._quota.take(knobs)
        after = token.after if token else None
        empty = token.empty if token else knobs.empty_pages
        response = ListLogEntriesResponse()
        if empty:
            response.next_page_token = written(request, Token(now_s, empty - 1, after))
            return response
        self._store.flush()
        page = await asyncio.to_thread(
            self._store.query,
            question.wanted,
            limit=question.size,
            newest_first=question.newest_first,
            after=after,
            again=knobs.duplicate_entries and after is not None and question.size > 1,
        )
        message = ListLogEntriesResponse.pb(response)
        for entry in page.entries:
            fill(message.entries.add(), entry)
        if page.after is not None:
            response.next_page_token = written(request, Token(now_s, knobs.empty_pages, page.after))
        return response

    async def write_entries(self, request: WriteLogEntriesRequest) -> WriteLogEntriesResponse:
        """All of them or, where one is refused, none; with `partial_success` those that are not."""
        entries, refused = taken_of(request, time.time_ns())
        if not request.dry_run:
            for entry in entries:
                self._store.append(entry)
            self._store.flush()
        if refused is not None:
            raise refused
        return WriteLogEntriesResponse()

    async def list_logs(self, request: ListLogsRequest) -> ListLogsResponse:
        """Names of logs that have entries; a page token is the last name of the page before."""
        size = page_size_of(request.page_size)
        projects = [name for name in (*request.resource_names, request.parent) if name]
        if not projects:
            raise Refused("INVALID_ARGUMENT", "parent is empty, expected projects/PROJECT")
        names = sorted({name for project in projects for name in self._store.logs(project)})
        left = [name for name in names if name > request.page_token]
        more = left[size - 1] if len(left) > size else ""
        return ListLogsResponse(log_names=left[:size], next_page_token=more)

    async def delete_log(self, request: DeleteLogRequest) -> empty_pb2.Empty:
        """Its entries are gone; it comes back with the next one."""
        name = log_name_of(request.log_name)
        if not self._store.delete(name):
            raise Refused("NOT_FOUND", f"Log {name} does not exist")
        return empty_pb2.Empty()
