"""A person who has given the right password but no second factor yet. The session names no user."""

import time
from typing import Any

from django.contrib.auth import SESSION_KEY, load_backend
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

KEY = "pending"
SECONDS = 600


def hold_back(request: HttpRequest, user: User, backend: str, next_url: str) -> None:
    """Remember in the session who has given a password, and the page to go to afterwards."""
    if SESSION_KEY in request.session:
        request.session.flush()
    request.session[KEY] = {
        "user": user.pk,
        "backend": backend,
        "proof": user.get_session_auth_hash(),
        "at": time.time(),
        "next": next_url,
    }
    request.session.cycle_key()


def user_waiting(request: HttpRequest) -> User | None:
    """Return the person who has given a password in this session less than ten minutes ago."""
    waiting: dict[str, Any] | None = request.session.get(KEY)
    if waiting is None or time.time() - waiting["at"] > SECONDS:
        return None
    user = load_backend(waiting["backend"]).get_user(waiting["user"])
    if not isinstance(user, User):
        return None
    if not constant_time_compare(user.get_session_auth_hash(), waiting["proof"]):
        return None
    user.backend = waiting["backend"]
    return user


def let_go(request: HttpRequest) -> str:
    """Forget the person, and return the page to go to."""
    return str(request.session.pop(KEY)["next"])
