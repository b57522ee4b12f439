"""The pages of a person's own account: its sessions, and a new password."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from config.http.security_log import tell
from orders.logins import second_factor
from orders.logins.models import LoginSession
from orders.logins.refusals import Refused, count_attempt, in_turn
from orders.logins.sessions import begin, end_sessions, person

MOST_SHOWN = 100


@login_required
@never_cache
def sessions_page(request: HttpRequest) -> HttpResponse:
    """List the person's own sessions. The page shows the key of none."""
    context = {
        "sessions": [session_as_shown(record, request) for record in sessions_of(person(request))],
        "password_was_changed": request.GET.get("changed") == "password",
        "standing": second_factor.state_of(person(request)),
    }
    return render(request, "logins/sessions.html", context)


def sessions_of(user: User) -> list[LoginSession]:
    """Return the account's valid sessions, the newest first."""
    records = LoginSession.objects.filter(owner=user, session__expire_date__gt=timezone.now())
    return list(records.select_related("session").order_by("-began_at")[:MOST_SHOWN])


def session_as_shown(record: LoginSession, request: HttpRequest) -> dict[str, Any]:
    idle = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    return {
        "id": record.pk,
        "address": record.address,
        "browser": record.browser,
        "began_at": record.began_at,
        "seen_at": record.session.expire_date - idle,
        "is_this_one": record.session_id == request.session.session_key,
    }


@login_required
@require_POST
def end_session(request: HttpRequest) -> HttpResponse:
    """End one of the person's own sessions, or all except this one."""
    chosen = request.POST.get("session", "")
    if chosen == "others":
        ended = end_sessions(person(request), but=request.session.session_key)
    else:
        ended = end_sessions(person(request), only=int(chosen)) if is_number(chosen) else 0
    if ended:
        tell("session_ended", request, account=request.user.pk, reason="by its owner")
    return redirect("sessions")


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


@method_decorator([login_required, never_cache], name="dispatch")
class Password(PasswordChangeView):
    """The page for a new password. With the old password, all other sessions end."""

    template_name = "logins/password.html"
    success_url = reverse_lazy("sessions")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            count_attempt(request, person(request).get_username(), "passwords")
            return in_turn(super().post)(request, *args, **kwargs)
        except Refused as refused:
            return refused.page(request, self.template_name)

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.save()
        update_session_auth_hash(self.request, user)
        begin(self.request, user)
        end_sessions(user, but=self.request.session.session_key)
        tell("password_changed", self.request, account=user.pk)
        return HttpResponseRedirect(f"{self.get_success_url()}?changed=password")
