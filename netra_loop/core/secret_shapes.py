"""What looks like a secret: bearer and cookie headers, JWTs, private keys, well-known API keys, passwords in URLs, and
values of names that speak of secrets; and where one may begin.

`SHAPES` and `KEPT` are expressions for a secret itself. They are slow, so `places` finds where they are worth trying:
plain searches for anchors, of which each has a finder that leaves out those that something else must follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Every run is bounded or possessive, and an alternative begins at its keyword instead of scanning towards it: a hostile
# text costs no more than its length.
_WORDS = (
    "password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|credentials"
)
_VALUE = r"""(?:\[redacted\]|[^\s"'\\,;&<>)\]}])++"""
_QUOTE = r"""\\{0,8}["']"""
# `$API_KEY` and `${env.API_KEY}` say where a secret is, not what it is; in commands that are shown they have to stay.
_NO_REFERENCE = r"""(?!\$(?:[A-Z][A-Z0-9_]{0,99}|\{[A-Za-z0-9_.:-]{1,199}\})(?:["'\s]|\Z))"""
# A parameter in a URL, which may itself stand in HTML, in JSON or in another URL. Names of the first lot speak of
# secrets whatever they are set to, those of the second only of long values; any name does of what looks like chance.
_PARAMETER = r"(?:[?&]|&amp;|\\?u0026|%3[Ff]|%26)"
_SECRET_NAMES = (
    "(?i:ticket|jwt|otp|pwd|pass|passcode|sig|signature|hmac|x-(?:(?:amz|goog)-(?:signature|credential)|signature)"
    "|(?:auth|access|login|ws)[_-](?:ticket|sig|signature|jwt|code|pass))"
)
_DOUBTFUL_NAMES = "(?i:code|key|auth|session|session_?id|sid|assertion|cred|credential)"
_IS = "(?:=|%3[Dd])"
_RANDOM = (
    "(?=[A-Za-z0-9_~+-]{0,200}?[a-z])(?=[A-Za-z0-9_~+-]{0,200}?[A-Z])(?=[A-Za-z0-9_~+-]{0,200}?[0-9])"
    "(?:[A-Za-z0-9_~+-]|%2[BbFf]){20,}+(?:=|%3[Dd])*+"
)
# The same inside a URL, once or twice over: `password%3Dx`, `token%3A%20x`, `%22api_key%22%3A%22x%22`.
_CODE = "%(?:25)?"
_CODED_BLANK = rf"(?:[ \t+]|{_CODE}20)"
_CODED_QUOTE = rf"(?:{_CODE}5[Cc]){{0,8}}+{_CODE}2[27]"
_CODED_IS = rf"(?:{_CODE}3[Dd]|\\{{1,8}}u003[Dd])"  # also as some write it in JSON
_CODED_SET = rf"{_CODED_BLANK}{{0,4}}+{_CODE}3[AaDd]{_CODED_BLANK}{{0,4}}+"
_CODED_COLON = rf"{_CODED_BLANK}{{0,4}}+{_CODE}3[Aa]{_CODED_BLANK}{{0,4}}+"
_SOMETHING = rf"(?!{_CODE}(?:2[0267]|0[AaDd]))"  # where the value is empty, the next of something follows
_LETTER = r"""(?:%(?!20|2[0267])[0-9A-Fa-f]{2}|[^\s"'\\,;&<>)\]}%+])"""
LONG = "PRIVATE KEY"  # all that is looked for over the ends of lines
SHAPES = (
    (
        "-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    ),
    (
        r"eyJ(?:(?<![A-Za-z0-9_-]eyJ)|(?<=\\[nrt]eyJ)|(?<=%[0-9A-Fa-f]{2}eyJ))"
        r"[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?"
    ),
    "AIza[A-Za-z0-9_-]{30,}+",
    "ya29[.][A-Za-z0-9_.-]{10,}+",
    "GOCSPX-[A-Za-z0-9_-]{10,}+",
    "A(?:KIA|SIA)[A-Z0-9]{16}",
    "gh[pousr]_[A-Za-z0-9]{20,}+",
    "github_pat_[A-Za-z0-9_]{20,}+",
    "glpat-[A-Za-z0-9_-]{15,}+",
    "xox[abeprs]-[A-Za-z0-9-]{10,}+",
    "sk-(?<![A-Za-z0-9_-]sk-)[A-Za-z0-9_-]{20,}+",
    "k_live_[A-Za-z0-9]{16,}+",  # Stripe, the letter before it told apart
    "(?:IQoJb3JpZ2lu|FwoGZXIvYXdz)[A-Za-z0-9+/=_%-]{20,}+",  # AWS, of a session
    "1//0[A-Za-z0-9_-]{20,}+",  # Google, to renew
)
KEPT = {  # name: (what stays, what is hidden after it)
    # `{"name": "X-Api-Key", "value": "…"}`, as headers and variables are often listed
    "entry": (
        (
            f"(?:(?i:{_WORDS}|authorization|cookie)|_KEY){_QUOTE}[ \\t]{{0,4}},[ \\t]{{0,4}}{_QUOTE}(?i:value){_QUOTE}"
            f"[ \\t]{{0,4}}:[ \\t]{{0,4}}(?P<opened>{_QUOTE})"
        ),
        r"(?:(?!(?<!\\)(?P=opened)).)++",
    ),
    "user": ("://", r"[^\s/\"'<>]{1,1000}(?=@)"),  # to the last @, which some passwords hold as it is
    "header": (
        (
            f"(?i:authorization)(?:{_QUOTE})?[ \\t]{{0,4}}[:=,][ \\t]{{0,4}}(?:b?{_QUOTE})?"
            r"(?:(?i:bearer|basic|token|digest|negotiate)[ \t]{1,4})?"
        ),
        _VALUE,
    ),
    "bearer": (r"(?i:bearer)(?:[ \t]{1,4}|%20)", r"(?=[^\s\"'\\,;]{20}|[^\s\"'\\,;]{0,19}[0-9])" + _VALUE),
    "cookie": (
        f"(?i:cookie)(?:(?:{_QUOTE})?[ \\t]{{0,4}}:|{_QUOTE}[ \\t]{{0,4}},)[ \\t]{{0,4}}(?:b?{_QUOTE})?",
        r"[^\r\n\"'\\]++",
    ),
    # `X-Api-Key: …`, also as Python shows pairs: `(b'x-auth-token', b'…')`
    "own_header": (
        (
            f"(?<=[A-Za-z0-9]-)(?i:{_WORDS})"
            f"(?:(?:{_QUOTE})?[ \\t]{{0,4}}:|{_QUOTE}[ \\t]{{0,4}},)[ \\t]{{0,4}}(?:b?{_QUOTE})?"
        ),
        _NO_REFERENCE + _VALUE,
    ),
    "named": (
        (
            r"(?:(?:_KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS)[ \t]{0,4}[=:][ \t]{0,4}"
            f"|(?i:{_WORDS})=)(?:{_QUOTE})?"
        ),
        _NO_REFERENCE + _VALUE,
    ),
    # as people and configurations write it, of what is no word: letters and digits
    "written": (
        f"(?i:{_WORDS})[ \\t]{{0,4}}[:=][ \\t]{{0,4}}(?:{_QUOTE})?",
        r"(?=[^\s\"'\\,;&<>)\]}]{6})(?=[^\s\"'\\,;&<>)\]}]{0,199}?[0-9])(?=[^\s\"'\\,;&<>)\]}]{0,199}?[A-Za-z])"
        + _NO_REFERENCE
        + _VALUE,
    ),
    "coded_header": (
        (
            f"(?:(?i:authorization)(?:{_CODED_QUOTE})?{_CODED_SET}"
            f"|(?:(?i:cookie)|(?<=[A-Za-z0-9]-)(?i:{_WORDS}))(?:{_CODED_QUOTE})?{_CODED_COLON})"
            f"(?:{_CODED_QUOTE})?+(?:(?i:bearer|basic|token|digest|negotiate){_CODED_BLANK}{{1,4}}+)?+"
        ),
        _SOMETHING + _NO_REFERENCE + _VALUE,
    ),
    "coded_json": (
        f"(?:(?i:{_WORDS})|_KEY){_CODED_QUOTE}(?:{_CODED_COLON}|:){_CODED_BLANK}{{0,4}}+{_CODED_QUOTE}",
        rf"(?:{_CODE}5[Cc]{_CODE}2[27]|(?!{_CODE}2[27])[^\s\"'&<>])++",
    ),
    "coded": (
        (
            f"(?:(?:_KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS){_CODED_SET}"
            f"|(?i:{_WORDS}){_CODED_IS})(?:{_CODED_QUOTE})?+"
        ),
        _SOMETHING + _NO_REFERENCE + _VALUE,
    ),
    "coded_text": (
        f"(?i:{_WORDS}){_CODED_SET}(?:{_CODED_QUOTE})?+",
        f"(?={_LETTER}{{6}})(?={_LETTER}{{0,199}}?[0-9])(?={_LETTER}{{0,199}}?[A-Za-z])" + _NO_REFERENCE + _VALUE,
    ),
    "parameter": (f"{_PARAMETER}{_SECRET_NAMES}{_IS}", _VALUE),
    "doubtful": (f"{_PARAMETER}{_DOUBTFUL_NAMES}{_IS}", r"""(?=[^\s"'\\,;&<>)\]}]{6})""" + _VALUE),
    "random": (r"(?:[?&]|&amp;)[A-Za-z0-9_.~-]{1,64}=", _RANDOM),
    "json": (
        f"(?:(?i:{_WORDS})|_KEY){_QUOTE}[ \\t]{{0,4}}:[ \\t]{{0,4}}(?P<quote>{_QUOTE})",
        r"(?:(?!(?<!\\)(?P=quote)).)++",
    ),
}
# between a name and its value
IS_SET = (
    rf"(?:{_QUOTE}|{_CODED_QUOTE})?{_CODED_BLANK}{{0,4}}(?:[:=]|{_CODED_IS}|{_CODE}3[Aa]){_CODED_BLANK}{{0,4}}"
    rf"(?:{_QUOTE}|{_CODED_QUOTE})?"
)
# What may come behind `?`, `&` and the like, in lower case: most URLs have parameters, and few of them are secrets.
_TELLING = rf"(?:{_SECRET_NAMES}|{_DOUBTFUL_NAMES})(?:=|%3d)".replace("(?i:", "(?:")
_AFTER = rf"(?:{_TELLING}|[a-z0-9_.~-]{{1,64}}=[a-z0-9_~+%-]{{20}})"
# Where one of the above may begin, by anchor: a text without the anchor is not searched for more. Finders take in no
# more than what cannot overlap with itself, so that none hides another.
_FINDERS = {
    LONG: "-----BEGIN ",
    "eyJ": "eyJ(?=[A-Za-z0-9_-]{5})",
    "AIza": "AIza(?=[A-Za-z0-9_-]{30})",
    "ya29.": "ya29[.](?=[A-Za-z0-9_.-]{10})",
    "GOCSPX-": "GOCSPX-",
    "AKIA": "AKIA(?=[A-Z0-9]{16})",
    "ASIA": "ASIA(?=[A-Z0-9]{16})",
    **{f"gh{kind}_": f"gh{kind}_(?=[A-Za-z0-9]{{20}})" for kind in "pousr"},
    "github_pat_": "github_pat_",
    "glpat-": "glpat-",
    "xox": "x(?=ox[abeprs]-)",
    "sk-": "sk-(?<![A-Za-z0-9_-]sk-)(?=[A-Za-z0-9_-]{20})",
    "k_live_": "k_live_(?=[A-Za-z0-9]{16})",
    "IQoJb3JpZ2lu": "IQoJb3JpZ2lu",
    "FwoGZXIvYXdz": "FwoGZXIvYXdz",
    "1//0": "1//0(?=[A-Za-z0-9_-]{20})",
    "://": r"://(?=[^\s/@\"'<>]{1,1000}@)",
}
_THEN_CODE = r"%(?:25)?(?:3[ad]|2[027]|5c)|\\{1,8}u003d"
_ASSIGNED = rf"""(?=[ \t]{{0,4}}[=:]|\\{{0,8}}["'][ \t]{{0,4}}[:,]|[ +]{{0,4}}(?:{_THEN_CODE}))"""
_FINDERS_LOWER = {  # in the text lower-cased
    "authorization": f"authorization(?=(?:{_QUOTE})?[ \\t]{{0,4}}[:=,]|{_THEN_CODE})",
    "bearer": "bearer(?=[ \t]|%20)",
    "cookie": f"cookie(?=(?:{_QUOTE})?[ \\t]{{0,4}}[:,]|{_THEN_CODE})",
    **{word: f"{word}{_ASSIGNED}" for word in ("password", "passwd", "passphrase", "secret", "token", "credentials")},
    "api": f"api(?=[_-]?key{_ASSIGNED})",
    "access": f"access(?=[_-]?key{_ASSIGNED})",
    "account": f"account(?=[_-]?key{_ASSIGNED})",
    "private": f"private(?=[_-]?key{_ASSIGNED})",
    "_key": f"_key{_ASSIGNED}",
    "?": rf"\?(?={_AFTER})",
    "&": rf"&(?=(?:amp;)?{_AFTER})",
    "u0026": rf"\\?u0026(?={_TELLING})",
    "%3f": f"%3f(?={_TELLING})",
    "%26": f"%26(?={_TELLING})",
}
# What several anchors hold, or a character that few texts do: without it none of them need be looked for. Where none
# of these is in an anchor, its own first letter is.
_HINTS = ("gh", "%", "pass", "key", "K", "J", "X", "S", "I", "://", "?", "&", "_")
_Finders = tuple[tuple[str, tuple[tuple[str, re.Pattern[str]], ...]], ...]


def _by_hint(finders: Mapping[str, str]) -> _Finders:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for anchor, finder in finders.items():
        hint = next((hint for hint in _HINTS if hint in anchor + _TAIL.get(anchor, "")), anchor[0])
        found.setdefault(hint, []).append((anchor, re.compile(finder)))
    return tuple((hint, tuple(some)) for hint, some in found.items())


_TAIL = dict.fromkeys(("api", "access", "account", "private"), "key")  # what must follow the anchor
_EXACT = _by_hint(_FINDERS)
_LOWER = _by_hint(_FINDERS_LOWER)
_LIKE_ASCII = (
    ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i"),
    ("ı", "i"),
    ("ſ", "s"),
)  # case-blind, `re` takes these for it
_SECRET_KEY = re.compile(
    f"[A-Za-z0-9_.-]*(?:{_WORDS})|(?:proxy-)?authorization|(?:set-)?cookie|(?-i:[A-Z0-9_]*_KEY)", re.IGNORECASE
)
_HEADER = re.compile(
    f"[A-Za-z0-9_.-]*-(?:{_WORDS})|(?:proxy-)?authorization|(?:set-)?cookie", re.IGNORECASE
)  # whose value may stand beside it


def places(text: str) -> Iterator[int]:
    """Where something of a secret's shape may begin, in no order."""
    yield from _found(_EXACT, text)
    yield from _found(_LOWER, _lowered(text))


def may_be_header(name: Any) -> bool:
    """Whether what stands beside `name` may be hidden for that alone."""
    return type(name) is str and _HEADER.fullmatch(name) is not None


def speaks_of_secrets(key: str) -> bool:
    """Whether whatever stands under `key` is hidden."""
    return _SECRET_KEY.fullmatch(key) is not None


def _found(finders: _Finders, text: str) -> Iterator[int]:
    for hint, some in finders:
        if hint in text:
            for anchor, finder in some:
                if anchor in text:
                    yield from (found.start() for found in finder.finditer(text))


def _lowered(text: str) -> str:
    """`text` lower-cased, each character in its place."""
    if text.isascii():
        return text.lower()
    for char, plain in _LIKE_ASCII:
        text = text.replace(char, plain)
    return text.lower()
