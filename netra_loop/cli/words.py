"""The words of a command line, before anything is imported that could understand them."""

from __future__ import annotations

SESSIONS = frozenset({"run", "resume"})
"""Commands whose exit code tells of a session: they hear signals from the start, and a lost output changes nothing."""


OPENING = "netra_loop.opening"
"""In Typer's `meta`: what the front door has begun ahead of `run`."""

LOOKING = frozenset({"list", "status", "watch", "results", "findings", "logs", "journal"})
"""Whose processes begin with the collector off: most of what they take is imports, in which it finds nothing. They turn
it on before they open the store.
"""


def command_of(arguments: list[str]) -> str | None:
    """The command that is meant: the first word that is no option. None where there is none."""
    words = iter(store_first(arguments))
    for word in words:
        if word == "--store":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def first_of(arguments: list[str]) -> str | None:
    """The first word, a `--store` left out: a command, or an option that stands before it. None where there is none."""
    words = iter(store_first(arguments))
    for word in words:
        if word == "--store":
            next(words, None)
        elif not word.startswith("--store="):
            return word
    return None


def store_first(arguments: list[str]) -> list[str]:
    """`arguments` as Typer wants them: `--store URL` may stand anywhere, as gcloud's global flags do."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--store":
            front += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word.startswith("--store="):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def store_of(arguments: list[str]) -> str | None:
    """What `--store` names; None where it is not given."""
    words = iter(store_first(arguments))
    found = None
    for word in words:
        if word == "--store":
            found = next(words, None)
        elif word.startswith("--store="):
            found = word.partition("=")[2]
        else:
            break
    return found
