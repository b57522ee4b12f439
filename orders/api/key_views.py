"""A person's way to the account's API keys: a page for people, and the same by API.

A key may look at the account's keys, and rotate or revoke itself. To make keys, and to change other
keys, a person has to log in. Otherwise a thief could make keys that outlive the stolen one.
"""

from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from rest_framework import permissions, status
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from config.runtime.session import answered_within
from orders.access.authentication import InsufficientScope, IsAccount, principal_of
from orders.access.keys import (
    DEFAULT_DAYS,
    MOST_DAYS,
    OVERLAP_HOURS,
    READ,
    SIGN,
    Doer,
    NotRotatable,
    TooManyKeys,
    is_soon,
    make_key,
    rename_key,
    revoke_keys,
    rotate_key,
    usual_end,
)
from orders.api import filters
from orders.api.base_views import ANSWER_SECONDS, ProblemAPIView
from orders.api.key_requests import NewKey, NewName, Rotation, key_as_json
from orders.api.problems import REFUSALS, invalid_fields
from orders.api.schema import openapi
from orders.models import ApiKey

NO_STORE = {"Cache-Control": "no-store"}


class KeyNotFound(NotFound):
    """The account has no such key. Another account's key gets the same answer."""

    default_detail = "You have no such API key."
    default_code = "key_not_found"


class SessionRequired(PermissionDenied):
    """Only a person who has logged in may do this, and no key."""

    default_detail = "Log in for this: a key may rotate and revoke itself, and no more."
    default_code = "session_required"


class KeysView(ProblemAPIView):
    """The account's API keys (GET), and new ones (POST)."""

    name = "API keys"
    permission_classes = (IsAccount,)

    @openapi.KEYS
    def get(self, request: Request) -> Response:
        filters.check_names(request, set())
        refuse_keys_without_read(request)
        keys = [key_as_json(key) for key in own_keys(principal_of(request).owner)]
        return Response({"keys": keys}, headers=NO_STORE)

    @openapi.NEW_KEY
    def post(self, request: Request) -> Response:
        filters.check_names(request, set())
        refuse_keys(request)
        wish, doer = NewKey(data=request.data).wish(), doer_of(request)
        key, secret = make_key(cast(int, request.user.pk), wish, doer)
        return created(key, secret)


class KeyView(ProblemAPIView):
    """One API key of the account (GET), and its name (PATCH)."""

    name = "API key"
    permission_classes = (IsAccount,)

    @openapi.KEY
    def get(self, request: Request, prefix: str) -> Response:
        filters.check_names(request, set())
        refuse_keys_without_read(request)
        return Response(key_as_json(find_key(request, prefix)), headers=NO_STORE)

    @openapi.NAME_KEY
    def patch(self, request: Request, prefix: str) -> Response:
        filters.check_names(request, set())
        refuse_keys(request)
        key = find_key(request, prefix)
        rename_key(key, NewName(data=request.data).read_name(), doer_of(request))
        return Response(key_as_json(find_key(request, prefix)), headers=NO_STORE)


class RotateKeyView(ProblemAPIView):
    """Make the key's successor (POST); the key itself holds for some hours more."""

    name = "Rotate"
    permission_classes = (IsAccount,)

    @openapi.ROTATE_KEY
    def post(self, request: Request, prefix: str) -> Response:
        filters.check_names(request, set())
        key = find_key(request, prefix)
        refuse_other_keys(request, key)
        hours = Rotation(data=request.data or {}).hours()
        new, secret = rotate_key(key, hours, doer_of(request))
        return created(new, secret)


class RevokeKeyView(ProblemAPIView):
    """End the key (POST), at once and for ever. Once more does no harm."""

    name = "Revoke"
    permission_classes = (IsAccount,)

    @openapi.REVOKE_KEY
    def post(self, request: Request, prefix: str) -> Response:
        filters.check_names(request, set())
        key = find_key(request, prefix)
        refuse_other_keys(request, key)
        revoke_keys(ApiKey.objects.filter(pk=key.pk), doer_of(request))
        return Response(key_as_json(find_key(request, prefix)), headers=NO_STORE)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def own_keys_page(request: HttpRequest) -> HttpResponse:
    """Show a person's own keys. A new key stands only in the answer to the POST that made it."""
    with answered_within(ANSWER_SECONDS):
        context: dict[str, Any] = {}
        if request.method == "POST":
            context = carry_out(request)
        return render(request, "orders/api/keys.html", context | keys_context(request))


def keys_context(request: HttpRequest) -> dict[str, Any]:
    keys = list(own_keys(request.user.pk))
    return {
        "keys": [
            key_as_json(key) | {"is_soon": is_soon(key.expires_at), "row": key} for key in keys
        ],
        "default_days": DEFAULT_DAYS if usual_end() else "",
        "most_days": MOST_DAYS,
        "overlap_hours": OVERLAP_HOURS,
        "is_test": "test" in SIGN,
    }


def carry_out(request: HttpRequest) -> dict[str, Any]:
    """Do what the form asks for; return what the page says of it."""
    doer = Doer(request.user.pk, request)
    form = request.POST
    deed, prefix = form.get("deed"), form.get("prefix", "")
    try:
        if deed == "make":
            wish = NewKey(data=form_fields(request)).wish()
            key, secret = make_key(cast(int, request.user.pk), wish, doer)
            return {"secret": secret, "made": key}
        key = find_own_key(request.user.pk, prefix)
        if deed == "rotate":
            new, secret = rotate_key(key, OVERLAP_HOURS, doer)
            return {"secret": secret, "made": new}
        if deed == "rename":
            rename_key(key, NewName(data={"name": form.get("name", "")}).read_name(), doer)
            return {"said": f"{prefix}… has its new name."}
        if deed == "revoke":
            revoke_keys(ApiKey.objects.filter(pk=key.pk), doer)
            return {"said": f"{prefix}… is revoked."}
    except ValidationError as refused:
        errors = invalid_fields(refused)["errors"]
        refusals = [f"{error['field']}: {error['message']}" for error in errors]
        return {"refusals": refusals, "given": form_fields(request)}
    except (NotRotatable, TooManyKeys) as refused:
        return {"refusals": [REFUSALS[type(refused)].detail]}
    except KeyNotFound as refused:
        return {"refusals": [str(refused)]}
    return {"refusals": ["That is nothing that can be done to a key."]}


def form_fields(request: HttpRequest) -> dict[str, Any]:
    """Return the form for a new key in the shape that the API takes."""
    form = request.POST
    days = {"expiresInDays": form["days"]} if form.get("days") else {}
    addresses = form.get("addresses", "").replace(",", " ").split()
    scopes = form.getlist("scopes")
    return {"name": form.get("name", ""), "scopes": scopes, "addresses": addresses, **days}


def own_keys(owner: int | None) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(owner=owner).select_related("rotated_from", "successor")


def find_key(request: Request, prefix: str) -> ApiKey:
    """:raises KeyNotFound: the account has no key of this prefix."""
    return find_own_key(principal_of(request).owner, prefix)


def find_own_key(owner: int | None, prefix: str) -> ApiKey:
    """:raises KeyNotFound: the account has no key of this prefix."""
    key = None
    if prefix.isascii() and prefix.isprintable():  # PostgreSQL may not hold another text
        key = own_keys(owner).filter(prefix=prefix).first()
    if key is None:
        raise KeyNotFound
    return key


def doer_of(request: Request) -> Doer:
    return Doer(principal_of(request).owner, request)


def created(key: ApiKey, secret: str) -> Response:
    """Return the only answer that ever contains the key."""
    body = {"key": secret, **key_as_json(key)}
    return Response(body, status=status.HTTP_201_CREATED, headers=NO_STORE)


def refuse_keys_without_read(request: Request) -> None:
    """:raises InsufficientScope: the request's key may not read."""
    if request.method in permissions.SAFE_METHODS and not principal_of(request).may_read:
        raise InsufficientScope(READ)


def refuse_keys(request: Request) -> None:
    """:raises SessionRequired: the request came with a key."""
    if principal_of(request).key is not None:
        raise SessionRequired


def refuse_other_keys(request: Request, key: ApiKey) -> None:
    """:raises SessionRequired: the request came with another key than the one it concerns."""
    if principal_of(request).key not in (None, key.pk):
        raise SessionRequired
