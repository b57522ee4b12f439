"""The pages on which persons log in and out."""

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, resolve_url
from django_otp.models import Device

from config.http.security_log import tell
from orders.logins import known, pending, second_factor
from orders.logins.attempts import attempts
from orders.logins.hashing import TooBusy, for_stranger
from orders.logins.refusals import Refused, busy, too_many
from orders.logins.sessions import begin, needs_second_factor


class LogIn(LoginView):
    """Log in by name and password. The next page asks for the second factor."""

    template_name = "logins/login.html"

    def get_default_redirect_url(self) -> str:
        is_admins = self.request.path.startswith(resolve_url("admin:index"))
        return resolve_url("admin:index" if is_admins else settings.LOGIN_REDIRECT_URL)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the password if there are attempts left. Otherwise no hash is made."""
        name = request.POST.get("username", "")
        try:
            return self._answer(request, name)
        except Refused as refused:
            return refused.page(
                request, self.template_name, next=self.get_redirect_url(), name=name
            )

    def _answer(self, request: HttpRequest, name: str) -> HttpResponse:
        attempt = known.attempt_of(request, name)
        if wait := attempts().take(attempt):
            tell("login_locked", request, user_name=name, limit="log-ins")
            raise too_many(wait)
        try:
            with for_stranger(not attempt.is_known):
                return super().post(request)
        except TooBusy:
            raise busy() from None

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.get_user()
        backend: str = user.backend
        is_enrolled = second_factor.is_enrolled(user)
        if is_enrolled or needs_second_factor(user, backend):
            pending.hold_back(self.request, user, backend, self.get_success_url())
            return redirect("second-factor" if is_enrolled else "enrol")
        return log_in(self.request, user, HttpResponseRedirect(self.get_success_url()))

    def form_invalid(self, form: Any) -> HttpResponse:
        tell("login_failed", self.request, user_name=self.request.POST.get("username", ""))
        return super().form_invalid(form)


class LogOut(LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            tell("logout", request, account=request.user.pk)
        return super().post(request, *args, **kwargs)


def log_in(
    request: HttpRequest, user: User, answer: HttpResponse, device: Device | None = None
) -> HttpResponse:
    """Begin the session of a person who has shown everything needed; `answer` is the response."""
    if device is not None:
        user.otp_device = device  # type: ignore[attr-defined]  # django-otp stores it
    login(request, user)
    begin(request, user)
    known.remember(request, answer, user.get_username())
    tell("login", request, account=user.pk)
    return answer
