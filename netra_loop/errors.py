"""Every exception that netra-loop raises on purpose, with the exit code it stands for.

    NetraLoopError                      4
    ├── UsageError                      2   the command line or the loop file is wrong
    │   └── LoopFileError               2   one or more `Problem`s, each with file:line:column
    ├── EnvironmentFailed               3   cloud, credentials or network, after its retries
    │   ├── CloudCallFailed             3   an API call was refused; carries the canonical code's name
    │   │   ├── OutOfReads              3   a limit of reads, and the next turn is too late for who asks
    │   │   └── AccessRefused          75   the credentials were refused, also after they were renewed
    │   ├── AuthFailed                  3   no way of the loop's `auth` to a token worked
    │   ├── GitFailed                   3   git refused what the workspace needs
    │   ├── ForeignChange               3   somebody else changed the service meanwhile
    │   └── TooManyOpenFiles            3   the system lets us open no more of them
    ├── StoreError                      5   the store cannot be used
    │   ├── StoreDamaged                5   what is stored is not what was written
    │   ├── StoreAway                   5   the store was there, and is not any more
    │   ├── DiskFull                   75   there is no room for what was to be stored
    │   ├── NoSnapshot                  3   no copy could be made of a store that is not changed without one
    │   ├── SessionHeld                 5   another process holds the session
    │   └── StaleEpoch                  5   this process was the owner and no longer is
    ├── Paused                         75   asked to stop; resume goes on
    ├── Interrupted                   130   a signal before anything was begun; 129 and 143 for the others
    └── Defect                          4   a promise inside netra-loop was broken

An error holds fields and builds its text from them: what was found (`!r`), what was expected; the next command is the
`hint`, shown on a line of its own. Lower case, no full stop. Anything raised that is not in this tree is a defect too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netra_loop.values import dataclass


class NetraLoopError(Exception):
    """The root. `exit_code` is contract's; `hint` is what to type or do next, or None where nothing helps."""

    exit_code: int = 4
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def hide(self, text: Callable[[str], str]) -> None:
        """Passes what will be shown through `text`, which takes secrets out."""
        self.args = tuple(text(part) if isinstance(part, str) else part for part in self.args)
        self.hint = None if self.hint is None else text(self.hint)


class UsageError(NetraLoopError):
    """The user's own mistake, found before anything happened."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a loop file. Lines and columns count from 1; `suggestion` is the key probably meant."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        meant = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{meant}"


class LoopFileError(UsageError):
    """A loop file is wrong; `problems` holds all that was found, in the order of the file, never empty."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            "\n".join(str(problem) for problem in self.problems),
            hint=f"mend the {'problem' if count == 1 else f'{count} problems'} above, "
            f"then: netra-loop validate {self.problems[0].file}",
        )


class EnvironmentFailed(NetraLoopError):
    """The cloud, the credentials or the network failed us, after the retries that were worth making."""

    exit_code = 3


class CloudCallFailed(EnvironmentFailed):
    """An API call was refused. `code` is the canonical gRPC name, such as `PERMISSION_DENIED`."""

    def __init__(self, call: str, code: str, message: str, *, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(f"{call} was refused with {code}: {message}", hint=hint)
        self.call = call
        self.code = code
        self.detail = message
        self.retryable = retryable


class GitFailed(EnvironmentFailed):
    """git could not do what it was asked to. `code` is its exit code, `said` what it wrote on stderr."""

    _TOLD = 2_000

    def __init__(self, words: Sequence[str], code: int, said: str) -> None:
        self.code, self.said = code, said
        last = said.strip()[-self._TOLD :] or "it said nothing"
        super().__init__(
            f"git {' '.join(words[:2])} ended with exit code {code}: {last}",
            hint="mend what git complains of, then resume",
        )


class OutOfReads(CloudCallFailed):
    """Logs were read as often as may be, and the next turn, `wait_s` seconds from then, was too late for who asked.
    `limit` is what kept it so long.
    """

    def __init__(self, call: str, wait_s: float, limit: str = "our own limit of reads") -> None:
        super().__init__(call, "RESOURCE_EXHAUSTED", f"{limit} allows the next in {wait_s:.0f} s")
        self.wait_s = wait_s


class AccessRefused(CloudCallFailed):
    """The credentials were refused twice, the second time after they had been renewed: only a person can log in again,
    so the session pauses and is resumed then.
    """

    exit_code = 75


class AuthFailed(EnvironmentFailed):
    """No way of the loop's `auth` to a token worked; `answers` has one line for each, such as `bypass: 401 Invalid
    key`, without the secret.
    """

    def __init__(self, answers: Sequence[str]) -> None:
        super().__init__(
            "no way to a token worked: " + "; ".join(answers),
            hint="set the keys and secrets that the loop's auth names, then resume the session",
        )
        self.answers = tuple(answers)


class ForeignChange(EnvironmentFailed):
    """The service, or its `tag`, now leads to `found`, which is not the `expected` revision of this session."""

    def __init__(self, service: str, expected: str, found: str, tag: str | None = None) -> None:
        what = f"service {service!r} serves" if tag is None else f"tag {tag!r} of service {service!r} leads to"
        seen = found if found.startswith("nothing") else repr(found)
        who = "deployed" if tag is None else "changed its traffic"
        super().__init__(
            f"{what} {seen}, expected {expected!r}: somebody else {who} meanwhile",
            hint="agree on who deploys; then resume, once that is what it leads to again, or run the loop anew",
        )
        self.service = service
        self.expected = expected
        self.found = found


class TooManyOpenFiles(EnvironmentFailed):
    """The system let us open no more files, sockets or pipes. `limit` is how many a process may have open, `most` how
    far whoever is not root can raise that, None: without bound. `limit` None: the whole system has too many.
    """

    _ENOUGH = 1024

    def __init__(self, limit: int | None, most: int | None, where: str = "", *, then: str = "") -> None:
        """`where` is what could not be done for it; `then` the command to type once it is mended."""
        told = f"; it came up at: {where}" if where else ""
        behind = f", then: {then}" if then else ""
        if limit is None:
            super().__init__(
                f"too many open files in the whole system, expected room for a few more{told}",
                hint="end what holds them, or raise fs.file-max; how many there are, and may be: "
                f"cat /proc/sys/fs/file-nr{behind}",
            )
        else:
            enough = self._ENOUGH if limit < self._ENOUGH else 4 * limit
            bound = most is not None and most < enough
            how = f" (as root, or in another shell: the hard limit of this one is {most})" if bound else ""
            super().__init__(
                f"too many open files: this process may have {limit} open at once, expected {enough} or more{told}",
                hint=f"ulimit -n {enough}{how}{behind}",
            )
        self.limit = limit
        self.most = most
        self.where = where


class StoreError(NetraLoopError):
    """The store cannot be used as it is; nothing was written."""

    exit_code = 5


class StoreDamaged(StoreError):
    """What is stored is not what was written, or belongs to another program. The file is left untouched. `lost_of` is
    the session of which less is there than was acknowledged, where that is what is wrong.
    """

    lost_of: str | None = None


class StoreAway(StoreError):
    """The store's server was there, and for as long as it was waited for it is not any more. Of the last write alone it
    may not be known whether it was stored.
    """

    def lose(self, what: str) -> None:
        """Says what is not stored for it."""
        self.args = (f"{self}; not stored: {what}",)


class DiskFull(StoreError):
    """There is no room for what was to be stored; nothing of it was. The reserve was given back, so that what is small
    can be stored once more: that the session stopped.
    """

    exit_code = 75


class NoSnapshot(StoreError):
    """The store is to be changed as a whole, which is not done without a copy of it, and none could be made, for want
    of room most often. Nothing was changed.
    """

    exit_code = 3


class SessionHeld(StoreError):
    """Another process holds the session; `holder` says which."""

    def __init__(self, session: str, holder: str) -> None:
        super().__init__(
            f"session {session!r} is held by {holder}",
            hint=f"wait for it, or end that process, then: netra-loop resume {session}; "
            f"where it hangs or is out of reach: netra-loop resume {session} --takeover",
        )
        self.session = session
        self.holder = holder


class StaleEpoch(StoreError):
    """The process owned the session until another took it over; it must stop without writing."""

    def __init__(self, session: str, ours: int, current: int) -> None:
        super().__init__(
            f"session {session!r} was taken over (our epoch {ours}, now {current})",
            hint=f"netra-loop status {session}",
        )


class Paused(NetraLoopError):
    """The session was asked to stop and did; everything known is stored. `why` is shown and journalled."""

    exit_code = 75

    def __init__(
        self, session: str, why: str, *, command: str = "netra-loop", first: str = "", resume: str | None = None
    ) -> None:
        """`resume` is the command that goes on, whole, where it needs more than the session; `first` says what has to
        be done before it.
        """
        before = f"; {first}" if first else ""
        super().__init__(f"paused: {why}{before}", hint=resume or f"{command} resume {session}")
        self.session = session
        self.why = why


class Interrupted(NetraLoopError):
    """A signal asked the process to end before it had begun or taken up a session: there is nothing to go on with. The
    exit code is the one that shells give to such an end, 128 and the signal's number.
    """

    exit_code = 130

    def __init__(self, signal: str, number: int) -> None:
        super().__init__(f"stopped by {signal} before a session was begun: nothing was done")
        self.exit_code = 128 + number


class Defect(NetraLoopError):
    """A promise inside netra-loop was broken; please report it with the journal of the session."""
