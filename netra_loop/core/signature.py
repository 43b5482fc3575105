"""The name of a failure: the same for one fault whatever ids, numbers, addresses and times it mentions, another for
another fault.

Numbers that are names (HTTP status codes, WebSocket close codes) stay; all others become `<n>`, ids `<id>`. Whatever
varies holds a digit, so the text is looked at where one stands; what it is tell the characters around it.
"""

from __future__ import annotations

import hashlib
import re

from netra_loop.core.records import RootCause, Symptom

MAX_INPUT = 2000  # characters looked at: what a fault is called stands at the beginning
MAX_LENGTH = 300

_VARIABLE = re.compile(
    r"""
    (?P<id>   (?<![A-Za-z0-9]) 0[xX][0-9a-fA-F]+ (?![A-Za-z0-9]) )
  | (?P<time> (?<![A-Za-z0-9]) [0-9]{4}-[0-9]{2}-[0-9]{2}
              (?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:\ ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)? )
  | (?P<addr> (?<![A-Za-z0-9]) [0-9a-fA-F]{1,4} (?: (?:\.[0-9]{1,3}){3} (?::[0-9]+)? | (?:::?[0-9a-fA-F]{1,4}){2,7} )
              (?![A-Za-z0-9]) )
  | (?P<rev>  (?<=[A-Za-z0-9]-) [0-9]{5} - [a-z0-9]{3,6} (?![A-Za-z0-9-]) )
  | (?P<num>  (?<![A-Za-z0-9.]) -? [0-9]+ (?:[._][0-9]+|,[0-9]{3}(?![0-9]))* (?:[eE][+-]?[0-9]+)?
              (?:ns|us|µs|ms|s|min|m|h)? (?![A-Za-z0-9]) )
  | (?P<word> (?<![A-Za-z0-9]) [A-Za-z]* [0-9] [A-Za-z0-9]* )
    """,
    re.VERBOSE,
)
_DIGIT = re.compile(r"[0-9]")
_UUID = re.compile(r"(?<![A-Za-z0-9])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![A-Za-z0-9])")
_TEMPORARY = re.compile(
    r"(?:/private)?/(?:tmp|var/folders|var/tmp)/[^\s'\":,)\]]*|"
    r"[A-Za-z]:\\(?:[^\s'\"\\]+\\)*(?:Temp|TEMP|tmp)\\[^\s'\":,)\]]*"
)
_QUERY = re.compile(r"(?<=[A-Za-z0-9_/])\?[A-Za-z0-9_.%-]+=[^\s'\">)]*")
_HTTP_STATUS = "100 101 200 201 202 203 204 205 206 301 302 303 304 307 308 400 401 402 403 404 405 406 408 409 410 411"
_HTTP_STATUS += (
    " 412 413 414 415 416 417 418 421 422 423 424 425 426 428 429 431 451 500 501 502 503 504 505 507 508 511"
)
_CODES = frozenset([*_HTTP_STATUS.split(), *map(str, range(1000, 1016)), *map(str, range(4000, 4500))])
_NAMED = re.compile(
    r"(?:\b(?:status|status_code|https?(?:/[0-9.]+)?|code|received|closed?|closed? with|then sent|error|response|"
    r"answered|rejected))[\s:='\"\[(<]{1,4}\Z",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"(?:\b(?:assert|returned|answer|got|expected|with|not|is|was|in)|[=!]=)[\s:='\"\[(<]{1,4}\Z", re.IGNORECASE
)
_COUNTED = re.compile(r" (?!for|from|on|but|instead|in|and|or|when|while|then|is|to|by|at)[a-z]")
_APART = re.compile(r"(?:\A|: |['\"(\[=,;>] ?)\Z")
_REASON = re.compile(r"['\"]?(?: - |: |,? \()")
_PHRASE = re.compile(r"['\"]? [A-Z][a-z]")
_LABELLED = re.compile(
    r"\b(?:line|port|pid|process|id|no|nr|number|row|step|attempt|run|user|thread|worker|task|job|item|index|after|"
    r"session|build|version|test|on|at|of|for|took|waited|[a-z]*_id)[ =:#.]{1,2}\Z",
    re.IGNORECASE,
)
_HEX_ID = re.compile(r"[0-9a-fA-F]{7,}\Z")
_DIGITS = re.compile(r"[0-9]+")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+\.[\w.-]+")
_REPEATED = re.compile(r"<n>(?:, ?<n>)+")


def normalise(text: str) -> str:
    """`text` on one line, without what differs from run to run. At most `MAX_LENGTH` characters."""
    plain = " ".join(text[:MAX_INPUT].split())
    if "@" in plain:
        plain = _EMAIL.sub("<email>", plain)
    if "tmp" in plain or "/var/" in plain or ":\\" in plain:
        plain = _TEMPORARY.sub("<tmp>", plain)
    if "?" in plain:
        plain = _QUERY.sub("", plain)
    if plain.count("-") >= 4:
        plain = _UUID.sub("<id>", plain)
    plain = _without_variables(plain)
    if "<n>, <n>" in plain or "<n>,<n>" in plain:
        plain = _REPEATED.sub("<n>, …", plain)
    if "{" in plain and ", " in plain:
        plain = _BRACED.sub(_sorted, plain)
    return plain[:MAX_LENGTH].rstrip()


def _without_variables(text: str) -> str:
    """`text` without numbers, times, addresses and ids. Whatever varies holds a digit, and digits are quick to find; a
    word begins with the letters before its first one.
    """
    parts = []
    done = 0
    found = _DIGIT.search(text)
    while found is not None:
        first = start = found.start()
        while start > done and (text[start - 1]).isalpha() and text[start - 1].isascii():
            start -= 1
        if start == first and start > done and text[start - 1] == "-":
            start -= 1
        whole = _VARIABLE.match(text, start) or _VARIABLE.match(text, first)
        if whole is None:
            end = first + 1
            parts.append(text[done:end])
        else:
            end = whole.end()
            parts += (text[done : whole.start()], _replacement(whole))
        done = end
        found = _DIGIT.search(text, done)
    parts.append(text[done:])
    return "".join(parts)


def _replacement(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind == "num":
        return "<n>" if not _is_code(found) else found[0]
    if kind == "word":
        return _without_digits(found[0])
    return _CONSTANT[str(kind)]


_CONSTANT = {"id": "<id>", "time": "<time>", "addr": "<addr>", "rev": "<n>"}
_BRACED = re.compile(r"\{[^{}]*, [^{}]*\}")


def _sorted(found: re.Match[str]) -> str:
    """What stands in braces in one order: that of a set, or of a mapping's keys, differs from process to process."""
    return "{" + ", ".join(sorted(found[0][1:-1].split(", "))) + "}"


def _is_code(found: re.Match[str]) -> bool:
    """Whether a number is the name of an answer: it looks like one and the text around says so. A number that a noun
    follows ("got 500 items") is a count."""
    if found[0] not in _CODES:
        return False
    text, start, end = found.string, found.start(), found.end()
    before = max(0, start - 20)
    if _NAMED.search(text, before, start):
        return True
    if _COMPARED.search(text, before, start):
        return len(found[0]) == 3 and not _COUNTED.match(text, end)
    if _LABELLED.search(text, before, start):
        return False
    if _PHRASE.match(text, end):
        return text[max(0, start - 1) : start] not in {"/", "-", ".", ":"}
    return _REASON.match(text, end) is not None and _APART.search(text, before, start) is not None


def _without_digits(word: str) -> str:
    """A word that holds digits: hexadecimal or long and mixed is an id, anything else keeps its letters."""
    if _HEX_ID.match(word) or (len(word) >= 16 and sum(map(str.isdigit, word)) >= 3):
        return "<id>"
    return _DIGITS.sub("<n>", word)


def signature(symptom: Symptom, text: str, root_cause: RootCause | None = None, stage: str | None = None) -> str:
    """The stable name of a failure.

    Where a root cause is known it alone is the name (file, function, exception, message; never the line, which every
    edit above it shifts): what the tests saw of it may differ. Else it is the symptom, the stage and the text.
    """
    if root_cause is not None:
        message = normalise(root_cause.message)
        return f"{root_cause.exception} in {root_cause.file} {root_cause.function}: {message}"
    reached = f" after {stage}" if stage else ""
    return f"{symptom}{reached}: {normalise(text)}"


def finding_id(of: str) -> str:
    """The short id of the finding with this signature: `F-` and six hexadecimal digits."""
    return "F-" + hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:6]
