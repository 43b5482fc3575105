"""Who is asking, and may they: bearer tokens, signed with the shared secret (HS256)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import jwt

AGENT_EXECUTION = "agent_execution"


@dataclass(frozen=True)
class User:
    user_id: str
    permissions: frozenset[str]


class RefusedError(Exception):
    """401: we do not know who this is. 403: we do, and they may not. `detail` is for the caller to read."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Authenticator:
    def __init__(self, secret: str) -> None:
        self._secret = secret

    def user_of(self, headers: Mapping[str, str]) -> User:
        """The user that the `Authorization` header proves. Raises RefusedError (401)."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if not scheme:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Authorization header missing")
        if scheme.lower() != "bearer" or not token.strip():
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Authorization header is not 'Bearer <token>'")
        try:
            claims = jwt.decode(token.strip(), self._secret, algorithms=["HS256"], options={"require": ["exp", "sub"]})
        except jwt.ExpiredSignatureError:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "token expired") from None
        except jwt.InvalidSignatureError:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "token signature is wrong") from None
        except jwt.InvalidTokenError as error:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, f"token not valid: {error}") from None
        permissions = claims.get("permissions", [])
        if not isinstance(permissions, list):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "token not valid: permissions is no list")
        return User(claims["sub"], frozenset(str(permission) for permission in permissions))

    def agent_user_of(self, headers: Mapping[str, str]) -> User:
        """The same, for somebody who may start agents. Raises RefusedError (401 or 403)."""
        user = self.user_of(headers)
        if AGENT_EXECUTION not in user.permissions:
            raise RefusedError(HTTPStatus.FORBIDDEN, f"permission {AGENT_EXECUTION!r} missing")
        return user
