"""The space of idempotency keys of a browser that sends orders without an account, by our own page.

Strangers must not share keys: one could learn another's order by guessing, or spoil it. So the page
sets a random cookie, and a key counts within that cookie alone. The cookie proves nothing else, and
opens nothing. An address is never a space: many people may have one.
"""

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "browser"
LIFETIME = timedelta(days=180)
VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class BrowserKey(str):
    """A key within a browser's space: the space, a blank, and the key, a UUID.

    No key of an account has a blank. So none is ever equal to one of these.
    """

    __slots__ = ()

    @classmethod
    def of(cls, space: str, key: str) -> Self | None:
        """Return the key within its space; None: it is none that our page makes."""
        try:
            return cls(f"{space} {UUID(key)}")
        except ValueError:
            return None


def space_of(cookies: dict[str, Any]) -> str | None:
    """Return the space of the browser with these cookies, 128 bits in hex; None if it has none."""
    value = cookies.get(COOKIE, "")
    if not VALUE.fullmatch(value):
        return None
    return hashlib.sha256(value.encode()).hexdigest()[:32]


def give_space(request: HttpRequest, response: HttpResponse) -> None:
    """Give a browser without a space one of its own, which no script can read."""
    if space_of(request.COOKIES) is not None:
        return
    response.set_cookie(
        COOKIE,
        secrets.token_urlsafe(32),
        max_age=LIFETIME,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
