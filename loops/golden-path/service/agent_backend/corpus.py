"""What the search tool knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    title: str
    text: str


DOCUMENTS = (
    Document("Greeting", "Hello! Ask me to compute something, to find something, or to count the words of a text."),
    Document(
        "Golden path",
        "A user connects, is authenticated, starts an agent, watches it think and use its tools, and gets the answer. "
        "How far a run got along this path says more than whether it passed.",
    ),
    Document(
        "Revision",
        "Each deploy of a service makes a revision: a fixed image with a fixed configuration. Traffic moves to the new "
        "revision once its startup probe has answered.",
    ),
    Document(
        "Close codes",
        "A WebSocket closed with 1000 ended normally, with 1001 the server went away, with 1009 a message was too big, "
        "and with 1011 the server met an internal error.",
    ),
    Document(
        "Tracing",
        "A trace id travels with each request in the traceparent header, so that log entries written on the server can "
        "be matched to the request that caused them.",
    ),
)
