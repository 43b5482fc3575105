"""What a phase may say of itself, by the word of `uses`, and where a session goes on then unless the loop file says."""

from __future__ import annotations

from collections.abc import Mapping

NEXT = "(next)"

OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "record": ("met", "unmet", "inconclusive", "stuck"),
    **dict.fromkeys(("deploy", "attach", "select", "execute", "collect-logs", "run"), ("ok", "failed")),
    **dict.fromkeys(("commit", "compare", "wait"), ("ok", "failed")),
}

DEFAULTS: Mapping[str, str] = {
    "ok": NEXT,
    "failed": "stop",
    "met": "done",
    "unmet": NEXT,
    "inconclusive": "stop",
    "stuck": "stop",
}
