"""The second factor's pages: one asks for a code, and one sets up the app that shows codes."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.cache import never_cache
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.models import Device

from config.http.security_log import tell
from orders.logins import pending, second_factor
from orders.logins.codes import new_seed
from orders.logins.refusals import Refused, count_attempt
from orders.logins.seal import CannotOpen, seal, unseal
from orders.logins.second_factor import AlreadyEnrolled, WrongCode
from orders.logins.sessions import end_sessions, person
from orders.logins.views import log_in

ENROLLING = "enrolling"
"""The session's name for the sealed seed of the QR code on the page."""
WRONG = "This code is not right, or was used before. Wait for the next one."
WRONG_NOW = "The code of the second factor that you have is not right, or was used before."


@never_cache
def second_factor_page(request: HttpRequest) -> HttpResponse:
    """Ask a person who has given a password for the code. Show all others their own factor."""
    user = pending.user_waiting(request)
    if user is None:
        return own_factor(request)
    if not second_factor.is_enrolled(user):
        return redirect("enrol")
    context = {"name": user.get_username()}
    if request.method != "POST":
        return render(request, "logins/code.html", context)
    try:
        device = device_that_takes(request, user, "code", WRONG)
    except Refused as refused:
        return refused.page(request, "logins/code.html", **context)
    return log_in(request, user, redirect(pending.let_go(request)), device)


@login_required
def own_factor(request: HttpRequest) -> HttpResponse:
    """Show the state of the person's factor. A code gets new recovery codes."""
    user = person(request)
    context = {"standing": second_factor.state_of(user)}
    if request.method != "POST":
        return render(request, "logins/factor.html", context)
    try:
        device_that_takes(request, user, "code", WRONG)
    except Refused as refused:
        return refused.page(request, "logins/factor.html", **context)
    codes = second_factor.renew_recovery_codes(user)
    tell("second_factor_enrolled", request, account=user.pk, changed="recovery codes")
    return show_codes(request, codes, resolve_url("second-factor"))


@never_cache
def enrol_page(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app, as a condition for the log-in or by the person's wish."""
    waiting = pending.user_waiting(request)
    if waiting is None and not request.user.is_authenticated:
        return redirect("login")
    user = waiting or person(request)
    is_enrolled = second_factor.is_enrolled(user)
    if waiting and is_enrolled:
        return redirect("second-factor")
    seed = current_seed(request)
    context = {
        "picture": second_factor.picture_of(seed, user),
        "seed": " ".join(seed[place : place + 4] for place in range(0, len(seed), 4)),
        "name": user.get_username(),
        "has_to": waiting is not None,
        "is_enrolled": is_enrolled,
    }
    if request.method != "POST":
        return render(request, "logins/enrol.html", context)
    try:
        device, codes = enrol(request, user, seed, anew=is_enrolled)
    except Refused as refused:
        return refused.page(request, "logins/enrol.html", **context)
    return go_on(request, waiting, device, codes)


def enrol(request: HttpRequest, user: User, seed: str, *, anew: bool) -> tuple[Device, list[str]]:
    """Enrol the account by the code that was sent. `anew`: the former factor's code is needed too.

    :raises Refused: a code is wrong, or there were too many attempts.
    """
    if anew:
        device_that_takes(request, user, "current", WRONG_NOW)
    else:
        count_attempt(request, user.get_username(), "codes")
    try:
        return second_factor.enrol(user, seed, request.POST.get("code", ""), anew=anew)
    except WrongCode:
        raise Refused(403, WRONG) from None
    except AlreadyEnrolled:
        raise Refused(409, "A second factor was set up just now. Log in again.") from None


def go_on(
    request: HttpRequest, waiting: User | None, device: Device, codes: list[str]
) -> HttpResponse:
    """Show the recovery codes, and log in a person who had to enrol first."""
    del request.session[ENROLLING]
    tell("second_factor_enrolled", request, account=device.user_id)
    if waiting is None:
        request.session[DEVICE_ID_SESSION_KEY] = device.persistent_id
        end_sessions(person(request), but=request.session.session_key)
        return show_codes(request, codes, resolve_url("second-factor"))
    after = pending.let_go(request)
    request.user = waiting  # the page shows this person's name
    return log_in(request, waiting, show_codes(request, codes, after), device)


def device_that_takes(request: HttpRequest, user: User, field: str, wrong: str) -> Device:
    """Return the device that takes the code which was sent.

    :raises Refused: no device takes it, or there were too many attempts.
    """
    count_attempt(request, user.get_username(), "codes")
    device = second_factor.device_for(user, request.POST.get(field, ""))
    if device is None:
        tell("second_factor_failed", request, account=user.pk)
        raise Refused(403, wrong)
    tell("second_factor_passed", request, account=user.pk, reason=device.name)
    return device


def current_seed(request: HttpRequest) -> str:
    """Return the seed of this session's QR code. The first call makes it."""
    try:
        return unseal(request.session[ENROLLING])
    except (KeyError, CannotOpen):
        seed = new_seed()
        request.session[ENROLLING] = seal(seed)
        return seed


def show_codes(request: HttpRequest, codes: list[str], after: str) -> HttpResponse:
    """Show recovery codes, only once: they stand in the answer itself, which is kept nowhere."""
    context: dict[str, Any] = {"codes": codes, "after": after}
    return render(request, "logins/recovery_codes.html", context)
