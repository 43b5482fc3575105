"""How long a token is good for, and when it is time for another."""

from __future__ import annotations

from netra_loop.errors import AuthFailed
from netra_loop.values import dataclass

RENEW_BEFORE_S = 60.0


@dataclass(frozen=True)
class TokenLife:
    """Of the token that is held now: what is left of its `whole_s`, and why the last try to get another failed; None
    where there was none, or it succeeded.
    """

    left_s: float
    whole_s: float
    trouble: AuthFailed | None = None

    def due_s(self, good_for_s: float) -> float:
        """In how many seconds another is wanted by somebody who needs each to be good for `good_for_s` more; 0 or less:
        now. A short one is renewed at half its life, for then it was as good as it gets.
        """
        return self.left_s - min(max(RENEW_BEFORE_S, good_for_s), self.whole_s / 2)
