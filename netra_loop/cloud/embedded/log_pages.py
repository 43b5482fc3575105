"""What a reader of log entries may ask, and the page tokens that lead on: each is bound to its question."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from google.cloud.logging_v2.types import ListLogEntriesRequest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.embedded.filter import FilterError, Node, parse
from netra_loop.cloud.embedded.knobs import Knobs
from netra_loop.cloud.embedded.log_store import Place
from netra_loop.cloud.embedded.matching import And, InProjects
from netra_loop.cloud.embedded.refusals import Refused
from netra_loop.values import dataclass

LARGEST_PAGE = 1000
_DEFAULT_PAGE = 50
_MOST_RESOURCES = 100
_MINUTE_S = 60.0
_ORDERS = {"": False, "timestamp asc": False, "timestamp desc": True}
_LIMIT = "ReadRequestsPerMinutePerProject"


@dataclass(frozen=True)
class Question:
    """What is asked for, understood."""

    wanted: Node
    newest_first: bool
    size: int


@dataclass(frozen=True)
class Token:
    """Where a sequence of pages stands: `empty` pages are still to come before the one behind `after`."""

    made_s: float
    empty: int
    after: Place | None


class ReadQuota:
    """Reads of any 60 seconds, whoever makes them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._taken: deque[float] = deque()

    def take(self, knobs: Knobs) -> None:
        """One read. Raises Refused, as Google puts it, where the quota is used up."""
        now = self._monotonic()
        while self._taken and now - self._taken[0] >= _MINUTE_S:
            self._taken.popleft()
        most = knobs.read_quota_per_min
        if most is not None and len(self._taken) >= most:
            raise Refused(
                "RESOURCE_EXHAUSTED",
                "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service "
                "'logging.googleapis.com' for consumer 'project_number:0'.",
                error_details_pb2.ErrorInfo(
                    reason="RATE_LIMIT_EXCEEDED",
                    domain="googleapis.com",
                    metadata={
                        "service": "logging.googleapis.com",
                        "quota_metric": "logging.googleapis.com/read_requests",
                        "quota_limit": _LIMIT,
                        "quota_limit_value": str(most),
                        "quota_location": "global",
                        "consumer": "projects/0",
                    },
                ),
            )
        self._taken.append(now)


def wanted_of(resource_names: Sequence[str], text: str) -> Node:
    """Entries of these projects that the filter `text` wants. Raises Refused."""
    if not 1 <= len(resource_names) <= _MOST_RESOURCES:
        found = f"has {len(resource_names)} names" if resource_names else "is empty"
        raise _invalid(f"resource_names {found}, expected 1 to {_MOST_RESOURCES} such as projects/PROJECT")
    for name in resource_names:
        if not name.startswith("projects/") or "/" in name.removeprefix("projects/").rstrip("/"):
            raise _invalid(f"resource_names holds {name!r}, expected projects/PROJECT: there is nothing else here")
    try:
        wanted = parse(text)
    except FilterError as error:
        raise _invalid(str(error)) from error
    projects = InProjects(tuple(name.rstrip("/") for name in resource_names))
    return And((projects, *(wanted.parts if isinstance(wanted, And) else (wanted,))))


def question_of(request: ListLogEntriesRequest) -> Question:
    """The request, understood. Raises Refused."""
    size = page_size_of(request.page_size)
    if request.order_by not in _ORDERS:
        raise _invalid(f"order_by is {request.order_by!r}, expected 'timestamp asc' or 'timestamp desc'")
    return Question(wanted_of(request.resource_names, request.filter), _ORDERS[request.order_by], size)


def page_size_of(asked: int) -> int:
    """How many there are on a page. Raises Refused."""
    if not 0 <= asked <= LARGEST_PAGE:
        raise _invalid(f"page_size is {asked}, expected 0 to {LARGEST_PAGE}")
    return asked or _DEFAULT_PAGE


def written(request: ListLogEntriesRequest, token: Token) -> str:
    """The token as the reader gets it."""
    content = [_digest(request), token.made_s, token.empty, list(token.after) if token.after else None]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def token_of(request: ListLogEntriesRequest, knobs: Knobs, now_s: float) -> Token | None:
    """Where the request goes on; None where it begins. Raises Refused for another question's token, or an old one."""
    if not request.page_token:
        return None
    try:
        digest, made_s, empty, place = json.loads(base64.urlsafe_b64decode(request.page_token))
        token = Token(float(made_s), int(empty), (int(place[0]), str(place[1]), int(place[2])) if place else None)
    except (ValueError, TypeError, IndexError) as error:
        raise _invalid(f"page_token {request.page_token!r} was not made here") from error
    if digest != _digest(request):
        raise _invalid("page_token belongs to another filter, order or project")
    if now_s - token.made_s > knobs.page_token_ttl_s:
        raise _invalid("page_token is too old, expected a new beginning without one")
    return token


def _digest(request: Any) -> str:
    question = json.dumps([list(request.resource_names), request.filter, request.order_by])
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def _invalid(message: str) -> Refused:
    return Refused("INVALID_ARGUMENT", message)
