import random
import re

import pytest

from netra_loop.cloud.embedded.patterns import PatternError, searcher

SHARED = [
    "a", "^a", "a*b", "(a|b)+c", "a{2,3}", "a{0}", "(?i)AbC", "[a-c]x", "[^a]b", r"\bab\b", r"\Bb", r"\d+", "a.c",
    "(?s)a.c", "(?m)^b$", "", "a|", "(a?){3}b", "(?:ab|cd)e?", r"\w\s", "[]a]", r"\Aa|x\x31", "(?P<n>a)+?b", "(?i:a)b",
]  # fmt: skip


@pytest.mark.parametrize("pattern", SHARED)
def test_finds_what_python_finds_where_both_have_it(pattern):
    chance = random.Random(7)
    texts = ["".join(chance.choice("abcABx 1\nde]") for _ in range(chance.randint(0, 8))) for _ in range(300)]
    ours, theirs = searcher(pattern), re.compile(pattern, re.ASCII)
    assert [ours(text) for text in texts] == [theirs.search(text) is not None for text in texts]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"a\z", "a"),
        (r"\Q.*\E$", "x.*"),
        ("[[:alpha:]]{3}", "1abc"),
        ("[[:^digit:]]", "x"),
        (r"\pL\p{Lu}", "éÉ"),
        (r"\p{Greek}", "λ"),
        (r"\PN", "a"),
        ("a{,2}", "a{,2}"),
        (r"[\d\-]x", "-x"),
        (r"\x{263a}", "☺"),
    ],
)
def test_what_only_re2_has(pattern, text):
    assert searcher(pattern)(text)


def test_the_end_is_the_very_end():
    assert not searcher("a$")("a\n")


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|aa)+$x", "(.*)(.*)(.*)(.*)x$", "(a?){30}a{30}b"])
def test_no_pattern_takes_for_ever(pattern):
    assert not searcher(pattern)("a" * 20_000)


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("(?=a)", "looks ahead"),
        ("(a", "without its"),
        ("a)", "too many"),
        ("*a", "nothing to repeat"),
        ("a**", "repetition of a repetition"),
        (r"\1", "escape"),
        ("a{1001}", "number of repetitions"),
        ("(((a{100}){100}){100})", "too large"),
        ("[a", "without its"),
        ("[b-a]", "ends before it begins"),
        ("[[:odd:]]", "'odd'"),
        (r"\pQ", "'Q'"),
        (r"\x{110000}", "beyond Unicode"),
        ("(" * 200, "levels"),
    ],
)
def test_refuses(pattern, complaint):
    with pytest.raises(PatternError, match=complaint):
        searcher(pattern)
