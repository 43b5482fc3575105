"""What a session keeps of what it was given, and of what happens: nothing of it holds a secret that is known.

A resume needs the loop file and the variables of the command line. Of both the secrets are left out: the file is read
again where it lies, and a variable whose value is a secret is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netra_loop.core import events as ev
from netra_loop.core import loopfile
from netra_loop.core.loopfile.hiding import hidden_text
from netra_loop.core.records import Batch
from netra_loop.core.redact import MARK, Redactor
from netra_loop.core.resuming import first, resume_command
from netra_loop.core.secret_names import names_secret
from netra_loop.errors import LoopFileError, UsageError

_FREE_TEXT: Mapping[type[ev.Event], tuple[str, ...]] = {  # what others say, in events; the rest are names and numbers
    ev.PhaseFinished: ("summary",),
    ev.Waited: ("why",),
    ev.AuthTried: ("answer",),
    ev.TestsSelected: ("collection_errors",),
    ev.GoalJudged: ("reasons",),
    ev.Noted: ("text",),
    ev.SessionPaused: ("why",),
    ev.SessionFailed: ("error", "hint"),
    ev.SessionEnded: ("reason",),
}


def kept_text(text: str, path: Path, redactor: Redactor) -> str:
    """What is stored of the loop file's text; it can be read as one. Raises UsageError where that cannot be had."""
    kept = hidden_text(text, redactor)
    if kept != text:
        try:
            loopfile.load(kept, path)
        except LoopFileError as error:
            problem = error.problems[0]
            raise UsageError(
                f"{path.name} cannot be stored without its secrets: the value of one of them also stands at line "
                f"{problem.line}, column {problem.column}, where the loop means something else by it",
                hint="give the secret a value that is no word of the loop file",
            ) from error
    return kept


def kept_vars(given: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    """What is stored of `--var`: a mark for each value that is a secret, by its name or by what it is."""
    return {
        name: MARK if value and (names_secret(name) or redactor.text(value) != value) else value
        for name, value in given.items()
    }


def kept_again(stored: Mapping[str, str], given: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    """The same at a resume: what was a secret when it was `stored` is one still, whoever knows why."""
    kept = kept_vars(given, redactor)
    return {name: MARK if value and stored.get(name) == MARK else value for name, value in kept.items()}


def check_given(session: str, kept: Mapping[str, str], given: Mapping[str, str], command: str) -> None:
    """Raises UsageError where a variable that is not stored was not given again, or came to nothing."""
    missing = {name: value for name, value in kept.items() if value == MARK and not given.get(name)}
    if missing:
        which = ", ".join(missing)
        empty = ", ".join(name for name in missing if name in given)
        found = f", and {empty} is empty now" if empty else ""
        raise UsageError(
            f"session {session!r} was given values of {which} that are secrets and therefore not stored{found}: "
            f"{first(missing)}",
            hint=resume_command(command, session, missing),
        )


def agree(stored: Any, now: Any) -> bool:
    """Whether two parts of a loop (as plain values) say the same, as far as the first one is not hidden: a mark in it
    stands for whatever is there now.
    """
    if isinstance(stored, str) and isinstance(now, str):
        return stored == now or (MARK in stored and _as_stored(stored).fullmatch(now) is not None)
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        return stored.keys() == now.keys() and all(agree(stored[key], now[key]) for key in stored)
    if isinstance(stored, list | tuple) and isinstance(now, list | tuple):
        return len(stored) == len(now) and all(map(agree, stored, now))
    return bool(stored == now)


def stood_hidden(stored: Any, now: Any) -> Iterator[str]:
    """What stands now where something was hidden when the loop was stored: a secret of then, whether or not anything
    says so now.
    """
    if isinstance(stored, str) and isinstance(now, str):
        found = _as_stored(stored).fullmatch(now) if MARK in stored else None
        yield from (part for part in (found.groups() if found is not None else ()) if part and part != MARK)
    elif isinstance(stored, Mapping) and isinstance(now, Mapping):
        for key in stored:
            if key in now:
                yield from stood_hidden(stored[key], now[key])
    elif isinstance(stored, list | tuple) and isinstance(now, list | tuple):
        for one, other in zip(stored, now, strict=False):
            yield from stood_hidden(one, other)


def _as_stored(text: str) -> re.Pattern[str]:
    return re.compile("(.*?)".join(map(re.escape, text.split(MARK))), re.DOTALL)


def check_whole(text: str, path: Path, session: str, command: str) -> None:
    """Raises UsageError where a stored text is to take the place of a loop file and lacks what that had."""
    if MARK in text:
        raise UsageError(
            f"the loop file {str(path)!r} is gone, and what is stored of it does not have its secrets",
            hint=f"put it back, then: {command} resume {session}",
        )


def hiding(redactor: Callable[[], Redactor]) -> Callable[[Batch], Batch]:
    """What every batch passes before it is stored: the last look at what its events say."""

    def hide(batch: Batch) -> Batch:
        events = tuple(_hidden(event, redactor()) for event in batch.events)
        same = all(new is old for new, old in zip(events, batch.events, strict=True))
        return batch if same else replace(batch, events=events)

    return hide


def _hidden(event: ev.Event, redactor: Redactor) -> ev.Event:
    names: Sequence[str] = _FREE_TEXT.get(type(event), ())
    new: dict[str, Any] = {}
    for name in names:
        old = getattr(event, name)
        found = redactor.deep(old)
        if found != old:
            new[name] = found
    return replace(event, **new) if new else event
