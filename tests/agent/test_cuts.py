from __future__ import annotations

import pytest

from netra_loop.agent.cuts import cut
from netra_loop.core.redact import Redactor


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("short", 5, "short"),
        ("two words", 9, "two words"),
        ("two words", 8, "two …"),
        ("two words", 4, "two…"),
        ("/run?a=b&sig=half-a-secret", 20, "/run?a=b&…"),
        ("oneverylongword", 8, "…"),
        ("", 0, ""),
    ],
)
def test_a_text_is_cut_between_words(text, limit, kept):
    assert cut(text, limit) == kept


@pytest.mark.parametrize("limit", range(1, 60))
def test_no_part_of_a_secret_is_left_wherever_the_cut_goes(limit):
    secret = "5f9b35b-Zx81/kd+q=="
    text = Redactor([secret]).text(cut(f'told {{"key": "{secret}"}} and x={secret} at last', limit))
    assert not any(secret[:size] in text for size in range(4, len(secret)))
