"""Which names say that what they stand for is a secret, and the passwords within URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

_WORD = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|[^_]_PWD$|APIKEY|(?:^|[_.-])(?:KEY|SECRET|TOKEN|CREDENTIALS?)(?:[_.-]|$)",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"[a-z](?:Key|Secret|Token|Credentials?)$")
_OF_SOMETHING_ELSE = re.compile(
    r"[_.-](?:URL|URI|ENDPOINT|PATH|FILE|FILENAME|DIR|FOLDER|HOST|HOSTNAME|PORT|DOMAIN|REALM|REGION|LOCATION"
    r"|BUCKET|PROVIDER|STORE|MANAGER|TYPE|KIND|MODE|FORMAT|ENCODING|TTL|AGE|LIFETIME|EXPIRY"
    r"|EXPIRES|EXPIRATION|TIMEOUT|INTERVAL|HEADER|NAME|ID|PREFIX|SUFFIX|PATTERN|REGEX|ISSUER|AUDIENCE|SCOPES?"
    r"|USERNAME|EMAIL|LENGTH|SIZE|LIMIT|COUNT|BUDGET|MIN|MAX|ALGORITHMS?|ALG|VERSION|ENABLED|DISABLED|REQUIRED|POLICY"
    r"|ROTATION|LABEL|ALIAS|COLUMN|FIELD|PARAM)$",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://([^\s/\"'<>]{1,1000})@")


def names_secret(name: str) -> bool:
    """Whether a variable called `name` holds a secret: `*_KEY`, `*_SECRET`, `*_TOKEN`, `*PASSWORD*` and their like, but
    not what only tells of one, such as `TOKEN_URL` or `KEY_FILE`.
    """
    if _OF_SOMETHING_ELSE.search(name):
        return False
    return _WORD.search(name) is not None or _CAMEL.search(name) is not None


def passwords_in(text: str) -> Iterator[str]:
    """The passwords (else the users, who are the secret then) of the URLs in `text`, as written and decoded."""
    for found in _USERINFO.finditer(text):
        user, colon, password = found[1].partition(":")
        secret = password if colon else user
        yield from dict.fromkeys((secret, unquote(secret)))
