"""How requests and sockets say for whom they act.

A credential that does not hold is an error, never the same as none. A request without one is
anonymous, and may act only where ALLOW_ANONYMOUS_ORDERS says so.
"""

from http.cookies import CookieError, SimpleCookie
from typing import Any, cast
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from rest_framework import authentication, exceptions, permissions
from rest_framework.request import Request

from config.http.security_log import tell
from config.http.socket_origin import header, is_own, origin_or_none
from orders.access.accounts import (
    ANONYMOUS,
    NONE,
    NotAuthenticated,
    Principal,
    accounts_of_this_loop,
    find_api_key,
    session_principal,
)
from orders.access.keys import READ, TRADE
from orders.logins.sessions import SessionEnded, person_of, session_named

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
            return find_api_key(bearer_secret(header), client_of(request))
        except NotAuthenticated as refused:
            tell_of_refusal(refused, request)
            raise exceptions.AuthenticationFailed(str(refused)) from None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(authentication.SessionAuthentication):
    """A person who has logged in; whatever changes something needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        authenticated = super().authenticate(request)
        if authenticated is None:
            return None
        return authenticated[0], session_principal(
            authenticated[0], request._request.session.session_key
        )


class InsufficientScope(exceptions.PermissionDenied):
    """The key is not for this: one for `read` looks, one for `trade` sends and cancels."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        self.auth_header = challenge_for(scope)
        super().__init__(said_of_scope(scope))


class MayAct(permissions.BasePermission):
    """An account may what its key is for; anonymous requests need ALLOW_ANONYMOUS_ORDERS."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Ask for `trade` where something is to be done, else for `read`.

        :raises NotAuthenticated: answered with 401.
        :raises InsufficientScope: answered with 403.
        """
        scope = READ if request.method in permissions.SAFE_METHODS else TRADE
        check_scope(principal_of(request), scope)
        return True


def check_scope(principal: Principal, scope: str) -> None:
    """:raises NotAuthenticated, InsufficientScope: as MayAct.has_permission."""
    if principal.owner is None and not settings.ALLOW_ANONYMOUS_ORDERS:
        raise exceptions.NotAuthenticated(WHO_ARE_YOU)
    if not principal.may(scope):
        raise InsufficientScope(scope)


def check_account(principal: Principal) -> None:
    """:raises NotAuthenticated: it is no account, and only an account can have this."""
    if principal.owner is None:
        raise exceptions.NotAuthenticated(WHO_ARE_YOU)


class MayRead(permissions.BasePermission):
    """As `MayAct`, for what only looks although it is sent by POST."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """:raises NotAuthenticated, InsufficientScope: as MayAct.has_permission."""
        check_scope(principal_of(request), READ)
        return True


class IsAccount(permissions.BasePermission):
    """What only an account can have."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """:raises NotAuthenticated: answered with 401."""
        check_account(principal_of(request))
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
    return cast(Principal | None, request.auth) or ANONYMOUS


async def authenticate_program(request: Request) -> None:
    """Look up the key of a request that has no session, without visiting a thread.

    :raises AuthenticationFailed: the key does not hold.
    :raises psycopg.Error: the database does not answer.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return
    principal = await holder_of_key(header, client_of(request), request)
    request.user, request.auth = cast(Any, KeyHolder(principal.owner)), principal


async def holder_of_key(header: str, client: str, source: Request | dict[str, Any]) -> Principal:
    """Return for whom the key in an Authorization header acts; `source` is what it came with.

    :raises AuthenticationFailed, psycopg.Error: as `authenticate_program`.
    """
    try:
        return await accounts_of_this_loop().holder_of(bearer_secret(header), client)
    except NotAuthenticated as refused:
        tell_of_refusal(refused, source)
        raise exceptions.AuthenticationFailed(str(refused)) from None


async def authenticate_socket(scope: dict[str, Any]) -> Principal:
    """Return for whom a WebSocket or a stream acts: by key, by ticket, or by our page's session.

    A cookie counts only for our own page: a browser sends cookies whichever page asks. Pages of
    ALLOWED_ORIGINS bring a key or a ticket, or are anonymous.

    :raises NotAuthenticated: the credential does not hold, or there is none and must be.
    :raises psycopg.Error: the database does not answer.
    """
    try:
        return await _holder_of_socket(scope)
    except NotAuthenticated as refused:
        tell_of_refusal(refused, scope)
        raise


async def _holder_of_socket(scope: dict[str, Any]) -> Principal:
    client = (scope.get("client") or ("",))[0]
    headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
    if secrets := [value for name, value in headers if name == b"authorization"]:
        secret = bearer_secret(",".join(secrets))
        return await accounts_of_this_loop().holder_of(secret, client)
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if tickets := query.get("ticket"):
        return await accounts_of_this_loop().redeem(tickets[-1], client)
    principal = ANONYMOUS
    if is_of_own_page(scope):
        principal = await session_of(";".join(v for name, v in headers if name == b"cookie"))
    if principal.owner is None and not settings.ALLOW_ANONYMOUS_ORDERS:
        raise NotAuthenticated("Give an API key, a ticket, or log in.")
    return principal


def is_of_own_page(scope: dict[str, Any]) -> bool:
    """Whether our own page asks.

    A browser names the page at every handshake. At a GET it names others alone, and says from how
    far away the page is.
    """
    if scope["type"] == "http" and header(scope, b"origin") is None:
        return header(scope, b"sec-fetch-site") in (None, "same-origin", "none")
    origin = origin_or_none(header(scope, b"origin") or "")
    return origin is not None and is_own(origin, header(scope, b"host") or "")


async def session_of(cookies: str) -> Principal:
    """Return for whom the cookies' session acts; the anonymous principal if there is none.

    :raises NotAuthenticated: it does not hold.
    """
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ANONYMOUS
    if cookie is None:
        return ANONYMOUS
    # A thread may do this, because log-ins are rare. It applies all of Django's own rules.
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
    return ANONYMOUS if user is None else session_principal(user, request.session.session_key)


def bearer_secret(header: str) -> str:
    """Return the key in an Authorization header.

    :raises NotAuthenticated: it is of another scheme.
    """
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != SCHEME.lower():
        raise NotAuthenticated(WHO_ARE_YOU, "scheme")
    return secret.strip()


def client_of(request: Request) -> str:
    """Return the address that a request came from."""
    address: str = request.META.get("REMOTE_ADDR", "")
    return address


def challenge_for(scope: str) -> str:
    return f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'


def said_of_scope(scope: str) -> str:
    return f"This API key is not for this: it needs the scope {scope}."


def tell_of_refusal(refused: NotAuthenticated, source: Request | dict[str, Any]) -> None:
    """Tell the security log of a credential that was refused; not of a request without one."""
    if refused.reason != NONE:
        tell(
            *("key_refused", source),
            account=refused.account,
            key_prefix=refused.key_prefix,
            reason=refused.reason,
        )


def tell_of_limit(limit: str, source: Request | dict[str, Any], principal: Principal) -> None:
    """Tell the security log that an account, or an anonymous address, has come to a limit."""
    tell(
        *("limit_hit", source),
        account=principal.owner,
        key_prefix=principal.key_prefix,
        limit=limit,
    )
