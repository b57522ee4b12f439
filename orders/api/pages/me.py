"""For whom a page acts, and what that person may do."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def me_as_json(request: HttpRequest) -> dict[str, Any]:
    """Return who is logged in; an `account` of null is anonymous. It reads the session alone."""
    user = request.user
    is_known = user.is_authenticated
    return {
        "account": user.get_username() if is_known else None,
        "isStaff": bool(is_known and user.is_staff),
        "mayTradeAnonymously": bool(settings.ALLOW_ANONYMOUS_ORDERS),
    }
