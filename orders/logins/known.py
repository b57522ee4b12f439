"""The browsers and addresses from which a name has logged in before.

A browser keeps a signed cookie that opens nothing. An address is remembered as a keyed digest of
itself and the name. Neither shows whether there is such an account.
"""

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.crypto import salted_hmac

from config.http.address import site_of
from orders.logins.attempts import Attempt, plain_name
from orders.logins.models import KnownPlace

COOKIE, COOKIE_PATH = "known_browser", "/"
SALT = "logins.known"
KNOWN = timedelta(days=180)
MOST_NAMES = 8  # for one browser: a cookie has room for few


def attempt_of(request: HttpRequest, name: str, purpose: str = "log-in") -> Attempt:
    """Return a request's attempt. It is known if its browser or address knows the name."""
    plain, address = plain_name(name), address_of(request)
    browser = browser_of(request)
    place = KnownPlace.objects.filter(
        digest=digest_of(plain, address), seen_at__gt=timezone.now() - KNOWN
    )
    return Attempt(
        address=address,
        name=f"{purpose}:{digest_of(plain)}",
        browser=browser["id"] if digest_of(plain) in browser["names"] else None,
        is_from_known_address=place.exists(),
    )


def remember(request: HttpRequest, response: HttpResponseBase, name: str) -> None:
    """Remember that this name has logged in with this browser and from this address."""
    plain, address = plain_name(name), address_of(request)
    KnownPlace.objects.filter(seen_at__lt=timezone.now() - KNOWN).delete()
    KnownPlace.objects.update_or_create(
        digest=digest_of(plain, address), defaults={"seen_at": timezone.now()}
    )
    browser = browser_of(request)
    names = [
        digest_of(plain),
        *(digest for digest in browser["names"] if digest != digest_of(plain)),
    ]
    response.set_cookie(
        COOKIE,
        signing.dumps({"id": browser["id"], "names": names[:MOST_NAMES]}, salt=SALT),
        max_age=KNOWN,
        path=COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def browser_of(request: HttpRequest) -> dict[str, Any]:
    """Return the content of the browser's cookie; a new one's if there is none, or it is false."""
    try:
        browser: dict[str, Any] = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=KNOWN
        )
    except signing.BadSignature:
        return {"id": secrets.token_urlsafe(12), "names": []}
    return browser


def address_of(request: HttpRequest) -> str:
    """Return the client's address; for IPv6 its network, which counts as one address."""
    return f"address:{site_of(request.META.get('REMOTE_ADDR', ''))}"


def digest_of(*words: str) -> str:
    return salted_hmac(SALT, "|".join(words), algorithm="sha256").hexdigest()
