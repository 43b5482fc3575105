"""How a text is written in other texts: in URLs, JSON, HTML, Python source, as hex and inside base64."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

MIN_LENGTH = 8  # shorter values occur in innocent text far too often
_CODE = re.compile("%[0-9A-F]{2}")
_BROWSERS_KEEP = "!'()*"  # encodeURIComponent does, encodeURI more
_BROWSERS_KEEP_OF_URLS = _BROWSERS_KEEP + ";,/?:@&=+$#"
_ESCAPED_FOR_HTML = ("<>&", "<>&='")


def spellings(value: str) -> set[str]:
    """How a value is written after its name."""
    return {value, *_in_urls(value), *_in_json(value), html.escape(value)}


def variants(secret: str) -> Iterator[str]:
    """The secret and what it becomes in URLs, JSON, HTML, Python source, hex and base64. A secret of several lines also
    line by line.
    """
    yield secret
    yield from _in_urls(secret)
    for plain in set(_in_json(secret)):
        yield plain
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield quote(plain, safe="")
    raw = secret.encode("utf-8", "surrogatepass")
    yield html.escape(secret)
    yield repr(secret)[1:-1]
    yield repr(raw)[2:-1]
    yield raw.hex()
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= 16)
    yield from _base64(raw)


def _in_urls(text: str) -> Iterator[str]:
    """As a part of a URL, once and twice over, the codes in capitals or not, by each of the common ways to write it."""
    for kept in ("", "/", _BROWSERS_KEEP, _BROWSERS_KEEP_OF_URLS):
        for once in (quote(text, safe=kept), quote_plus(text, safe=kept)):
            low = _CODE.sub(lambda code: code[0].lower(), once)
            yield from (once, low)
            for twice in (quote(once, safe=""), quote(low, safe="")):
                yield from (twice, _CODE.sub(lambda code: code[0].lower(), twice))


def _in_json(text: str) -> Iterator[str]:
    """As a text in JSON, without its quotes: some escape what is not ASCII, a slash, or what HTML is made of."""
    for plain in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield plain
        yield plain.replace("/", "\\/")
        for escaped in _ESCAPED_FOR_HTML:
            yield plain.translate({ord(char): f"\\u{ord(char):04x}" for char in escaped})


def in_base64(secret: str) -> Iterator[str]:
    """What base64 of any text that holds the secret holds, in both alphabets; nothing for one so short that too little
    of that is its own.
    """
    return _base64(secret.encode("utf-8", "surrogatepass"))


def _base64(raw: bytes) -> Iterator[str]:
    """The part of base64 that only these bytes decide, for each of the three places they can stand at."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode("ascii").rstrip("=")
        first = (0, 2, 3)[offset]
        last = (offset + len(raw)) * 8 // 6
        inner = encoded[first:last]
        if len(inner) >= MIN_LENGTH:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
