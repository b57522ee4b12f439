"""The login demo / demo. It exists while DEMO_LOGIN is on and only this machine reaches the engine.

The database holds no password for it. Orders and the admin's log need a row, and that row has
neither a password nor a right. This process gives the demo its rights, while the setting is on. A
start that other machines can reach makes the row inactive.
"""

import secrets
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.request import split_domain_port

NAME = PASSWORD = "demo"  # noqa: S105  # no secret: it is valid only on this machine
BACKEND = f"{__name__}.DemoBackend"
MARK = f"{UNUSABLE_PASSWORD_PREFIX}demo-login-"
BY_PROXY = (
    *("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST"),
    *("HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP", "HTTP_CF_CONNECTING_IP"),
)


class DemoBackend(ModelBackend):
    """Knows demo / demo, for a person at this machine."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        is_demo = (username, password) == (NAME, PASSWORD)
        if not (is_demo and settings.DEMO_LOGIN and request and asks_from_here(request)):
            return None
        user, _ = User.objects.get_or_create(
            username=NAME, defaults={"password": MARK + secrets.token_hex(20)}
        )
        if not is_ours(user):
            return None
        User.objects.filter(pk=user.pk).update(is_active=True)
        return all_mighty(user)

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.filter(pk=user_id).first() if settings.DEMO_LOGIN else None
        return all_mighty(user) if user and is_ours(user) and user.is_active else None


def asks_from_here(request: HttpRequest) -> bool:
    """Whether a browser of this machine asks, and no proxy asks for another client."""
    host, _ = split_domain_port(request.get_host())
    is_here = is_loopback(request.META.get("REMOTE_ADDR", "")) and is_loopback(host)
    return is_here and not any(name in request.META for name in BY_PROXY)


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_ours(user: User) -> bool:
    return user.username == NAME and user.password.startswith(MARK)


def all_mighty(user: User) -> User:
    """Give all rights to this object, and none to its row."""
    user.is_active = user.is_staff = user.is_superuser = True
    return user


def take_away_password() -> None:
    """Take its password from a row that an older version made. Call it at a local start."""
    if (user := old_row()) is not None:
        _strip(user, is_active=True)


def end_demo() -> bool:
    """Make the row inactive, whichever version made it, and return whether it was active.

    Call it at a start that other machines can reach. It may run twice: the second time changes
    nothing.
    """
    user = User.objects.filter(username=NAME).first()
    row = user if user is not None and is_ours(user) else old_row()
    if row is None:
        return False
    was_active = row.is_active
    _strip(row, is_active=False)
    return was_active


def old_row() -> User | None:
    """Return the account whose name and password are both `demo`, if there is one."""
    user = User.objects.filter(username=NAME).first()
    return user if user is not None and user.check_password(PASSWORD) else None


def _strip(user: User, *, is_active: bool) -> None:
    User.objects.filter(pk=user.pk).update(
        password=MARK + secrets.token_hex(20),
        is_active=is_active,
        is_staff=False,
        is_superuser=False,
    )
