"""What earlier sessions of a loop know of a finding, so that the thirtieth night knows what the first one saw."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from netra_loop.clock import rfc3339
from netra_loop.core.records import Sighting
from netra_loop.values import dataclass


@dataclass(frozen=True)
class Fixed:
    """Where it was last seen to be fixed: by which revision and commit, as far as that is known."""

    session: str
    iteration: int
    revision: str | None = None
    commit: str | None = None

    def __str__(self) -> str:
        commit = f", commit {self.commit[:12]}" if self.commit else ""
        by = f" by {self.revision}{commit}" if self.revision else ""
        return f"in {self.session}, iteration {self.iteration}{by}"


@dataclass(frozen=True)
class Past:
    """A finding in `sessions` earlier sessions: the first of them, which began at `first_at`, and the last. `fixed` is
    where it was fixed last; None where it never was.
    """

    sessions: int
    first_session: str
    first_at: datetime
    last_session: str
    fixed: Fixed | None = None

    def row(self) -> dict[str, Any]:
        """As plain JSON values."""
        fixed = self.fixed
        return {
            "sessions": self.sessions,
            "first_session": self.first_session,
            "first_at": rfc3339(self.first_at),
            "last_session": self.last_session,
            "fixed": None
            if fixed is None
            else {"session": fixed.session, "iteration": fixed.iteration, "revision": fixed.revision,
                  "commit": fixed.commit},
        }  # fmt: skip

    def __str__(self) -> str:
        many = f"{self.sessions} earlier session{'' if self.sessions == 1 else 's'}"
        fixed = f"; last fixed {self.fixed}" if self.fixed is not None else "; never seen fixed"
        return f"seen in {many}, first in {self.first_session} ({self.first_at:%Y-%m-%d}){fixed}"


def past(sightings: Sequence[Sighting], session: str) -> Past | None:
    """What `sightings` of one signature, in the order of sessions, tell of it before `session`; None for nothing."""
    earlier: list[Sighting] = []
    for one in sightings:
        if one.session == session:
            break
        earlier.append(one)
    if not earlier:
        return None
    mended = next((one for one in reversed(earlier) if one.fixed is not None), None)
    fixed = Fixed(mended.session, mended.fixed) if mended is not None and mended.fixed is not None else None
    return Past(len(earlier), earlier[0].session, earlier[0].at, earlier[-1].session, fixed)
