"""When a session is valid, and whose it is.

A session ends at logout, with a new password, when its account becomes inactive, after a time
without a request, and after two weeks in any case. If staff need a second factor, a staff member's
session is valid only with it. A cookie that names no valid session is an error. It is never treated
as no cookie.
"""

import re
import time
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from config.http.security_log import tell
from orders.logins import demo
from orders.logins.models import LoginSession

KEY = re.compile(r"[a-z0-9]{8,40}", re.ASCII)
LONGEST_SECONDS = 14 * 86_400
AT_ONCE = 100
BEGAN, SEEN = "began", "seen"  # in the session, seconds since 1970
NO_LONGER = "This session no longer holds: log in again."


class SessionEnded(Exception):
    """The cookie names no session, or one that is no longer valid. A new log-in helps."""


def person_of(request: HttpRequest) -> User | None:
    """Return the person of the request's session; None without a session or without a log-in.

    :raises SessionEnded: the session is not valid. It is deleted.
    """
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if key is None:
        return None
    session = request.session
    account = session.get(SESSION_KEY) if KEY.fullmatch(key) else None
    if not KEY.fullmatch(key) or session.session_key is None:
        request.session = new_session()
        raise SessionEnded(NO_LONGER)
    if account is None:
        return None
    user = request.user if hasattr(request, "user") else get_user(request)
    reason = why_ended(user, session)
    if reason is not None or not isinstance(user, User):
        tell("session_ended", request, account=int(account), reason=reason or "account")
        session.flush()
        raise SessionEnded(NO_LONGER)
    note_that_it_is_used(session)
    return user


def why_ended(user: Any, session: SessionBase) -> str | None:
    now = time.time()
    if not isinstance(user, User):
        return "account"  # it is gone or inactive, or has another password
    if now - session.get(SEEN, now) > settings.SESSION_COOKIE_AGE:
        return "idle"
    if now - session.get(BEGAN, now) > LONGEST_SECONDS:
        return "age"
    has_shown_it = DEVICE_ID_SESSION_KEY in session
    if needs_second_factor(user, session.get(BACKEND_SESSION_KEY)) and not has_shown_it:
        return "second factor"
    return None


def needs_second_factor(user: User, backend: str | None) -> bool:
    """Whether the account needs a second factor: staff, if REQUIRE_STAFF_MFA, except the demo."""
    is_staff = user.is_staff or user.is_superuser
    return settings.REQUIRE_STAFF_MFA and is_staff and backend != demo.BACKEND


def note_that_it_is_used(session: SessionBase) -> None:
    """Put off the end of an idle session. This is written at most once a minute."""
    now = time.time()
    if now - session.get(SEEN, 0) > min(60, settings.SESSION_COOKIE_AGE / 4):
        session[SEEN] = now
        session.setdefault(BEGAN, now)


def begin(request: HttpRequest, user: User) -> None:
    """Note whose new session this is, from where it came, and when it began."""
    session = request.session
    if session.session_key is None:  # the session before was another account's
        session.create()
    session[SEEN] = time.time()
    session.setdefault(BEGAN, session[SEEN])
    forget_some_that_ended()
    browser = request.META.get("HTTP_USER_AGENT", "")[:200]
    LoginSession.objects.update_or_create(
        session_id=session.session_key,
        defaults={
            "owner_id": user.pk,
            "address": request.META.get("REMOTE_ADDR", "")[:45],
            "browser": browser if browser.isprintable() else ascii(browser)[1:-1][:200],
        },
    )


def forget_some_that_ended() -> None:
    """Delete a few sessions that are over, with their notes. No other code deletes them."""
    over = Session.objects.filter(expire_date__lt=timezone.now()).values_list("pk", flat=True)
    Session.objects.filter(pk__in=list(over[:AT_ONCE])).delete()


def end_sessions(user: User, *, but: str | None = None, only: int | None = None) -> int:
    """End the account's sessions except `but`, or `only` that of this record; return how many.

    Their open sockets are closed within seconds.
    """
    records = LoginSession.objects.filter(owner=user).exclude(session_id=but)
    keys = list(records.filter(**({} if only is None else {"pk": only})).values_list("session_id"))
    Session.objects.filter(pk__in=[key for (key,) in keys]).delete()
    return len(keys)


def person(request: HttpRequest) -> User:
    """Return the person who is logged in. Call it behind `login_required`."""
    assert isinstance(request.user, User)  # noqa: S101  # else `login_required` is missing
    return request.user


def session_named(key: str) -> HttpRequest:
    """Return a request that has only this session, for entries without Django's own request."""
    request = HttpRequest()
    request.COOKIES[settings.SESSION_COOKIE_NAME] = key
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return request


def new_session() -> SessionBase:
    store: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore()
    return store
