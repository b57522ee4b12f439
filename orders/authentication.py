"""How requests and sockets say for whom they act.

A credential that does not hold is an error, never the same as none. Who gives none is nobody, and
nobody may act only where ALLOW_ANONYMOUS_ORDERS says so.
"""

from http.cookies import CookieError, SimpleCookie
from typing import Any, cast
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from rest_framework import authentication, exceptions, permissions
from rest_framework.request import Request

from config.origin import header, is_own, origin_or_none
from logins.sessions import SessionEnded, person_of, session_named
from orders.accounts import (
    NOBODY,
    NotAuthenticated,
    Principal,
    accounts_of_this_loop,
    find_api_key,
    session_principal,
)

SCHEME = "Bearer"
CHALLENGE = 'Bearer realm="orders"'
WHO_ARE_YOU = "Give an API key: Authorization: Bearer KEY, or log in."


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer KEY`."""

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        try:
            key = find_api_key(bearer_secret(header))
        except NotAuthenticated as refused:
            raise exceptions.AuthenticationFailed(str(refused)) from None
        return key.owner, Principal(key.owner_id, key=key.pk)

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(authentication.SessionAuthentication):
    """A person who has logged in; whatever changes something needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        return found[0], session_principal(found[0], request._request.session.session_key)


class MayAct(permissions.BasePermission):
    """An account may, and nobody where ALLOW_ANONYMOUS_ORDERS is on."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """:raises NotAuthenticated: answered with 401."""
        if principal_of(request).owner is None and not settings.ALLOW_ANONYMOUS_ORDERS:
            raise exceptions.NotAuthenticated(WHO_ARE_YOU)
        return True


class IsAccount(permissions.BasePermission):
    """What only an account can have."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """:raises NotAuthenticated: answered with 401."""
        if principal_of(request).owner is None:
            raise exceptions.NotAuthenticated(WHO_ARE_YOU)
        return True


class KeyHolder:
    """What DRF takes for the user of a request whose key was looked up without Django's ORM."""

    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, owner: int | None) -> None:
        self.pk = self.id = owner


def principal_of(request: Request) -> Principal:
    """Return for whom the request acts; its credential is looked at if nobody did before.

    :raises AuthenticationFailed: the credential does not hold.
    """
    return cast(Principal | None, request.auth) or NOBODY


async def authenticate_program(request: Request) -> None:
    """Look up the key of a request that has no session, without visiting a thread.

    :raises AuthenticationFailed: the key does not hold.
    :raises psycopg.Error: the database does not answer.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return
    try:
        principal = await accounts_of_this_loop().holder_of(bearer_secret(header))
    except NotAuthenticated as refused:
        raise exceptions.AuthenticationFailed(str(refused)) from None
    request.user, request.auth = cast(Any, KeyHolder(principal.owner)), principal


async def authenticate_socket(scope: dict[str, Any]) -> Principal:
    """Return for whom a WebSocket acts: by key, by ticket, or by the session of our own page.

    A cookie counts only beside our own Origin: a browser sends cookies whichever page asks, and
    always says which. Pages of ALLOWED_ORIGINS bring a key or a ticket, or act for nobody.

    :raises NotAuthenticated: the credential does not hold, or there is none and must be.
    :raises psycopg.Error: the database does not answer.
    """
    headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
    if secrets := [value for name, value in headers if name == b"authorization"]:
        return await accounts_of_this_loop().holder_of(bearer_secret(",".join(secrets)))
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if tickets := query.get("ticket"):
        return await accounts_of_this_loop().redeem(tickets[-1])
    principal = NOBODY
    if is_of_own_page(scope):
        principal = await session_of(";".join(v for name, v in headers if name == b"cookie"))
    if principal.owner is None and not settings.ALLOW_ANONYMOUS_ORDERS:
        raise NotAuthenticated("Give an API key, a ticket, or log in.")
    return principal


def is_of_own_page(scope: dict[str, Any]) -> bool:
    origin = origin_or_none(header(scope, b"origin") or "")
    return origin is not None and is_own(origin, header(scope, b"host") or "")


async def session_of(cookies: str) -> Principal:
    """Return for whom the session acts that the cookies name; nobody without one.

    :raises NotAuthenticated: it does not hold.
    """
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return NOBODY
    if cookie is None:
        return NOBODY
    # As rare as people are, so a thread may do it: Django's own rules, all of them.
    return await sync_to_async(find_session, thread_sensitive=False)(cookie.value)


def find_session(session_key: str) -> Principal:
    """:raises NotAuthenticated: it does not hold."""
    request = session_named(session_key)
    try:
        user = person_of(request)
    except SessionEnded as ended:
        raise NotAuthenticated(str(ended)) from None
    finally:
        connection.close()  # no signal of a request would
    return NOBODY if user is None else session_principal(user, request.session.session_key)


def bearer_secret(header: str) -> str:
    """Return the key in an Authorization header.

    :raises NotAuthenticated: it is of another scheme.
    """
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != SCHEME.lower():
        raise NotAuthenticated(WHO_ARE_YOU)
    return secret.strip()
