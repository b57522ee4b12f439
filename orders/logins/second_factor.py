"""The second factor of an account: an authenticator app, and recovery codes on paper."""

from dataclasses import dataclass

import segno
from django.contrib.auth.models import User
from django.db import transaction
from django_otp import match_token
from django_otp.models import Device

from orders.logins.codes import (
    address_for_app,
    digest_of_code,
    new_recovery_codes,
    step_of,
)
from orders.logins.models import Authenticator, RecoveryCodes
from orders.logins.seal import seal

NAME_OF_APP, NAME_OF_CODES = "authenticator", "recovery codes"


class AlreadyEnrolled(Exception):
    """The account has a second factor. A new one needs a code of the old one."""


class WrongCode(Exception):
    """The code is not of this seed, or not of about now. Another code may be right."""


@dataclass(frozen=True, slots=True)
class FactorState:
    """The state of an account's second factor."""

    is_enrolled: bool
    codes_left: int


def state_of(user: User) -> FactorState:
    codes = RecoveryCodes.objects.filter(user=user).first()
    return FactorState(is_enrolled(user), len(codes.digests) if codes else 0)


def is_enrolled(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, confirmed=True).exists())


def device_for(user: User, code: str) -> Device | None:
    """Return the device that took the code, or None. A code is used up when it is taken."""
    return match_token(user, code)


@transaction.atomic
def enrol(user: User, seed: str, code: str, *, anew: bool) -> tuple[Device, list[str]]:
    """Take the seed if the code belongs to it; return the authenticator and new recovery codes.

    :raises WrongCode: the code does not belong to the seed.
    :raises AlreadyEnrolled: there is a second factor, and the caller did not ask for one `anew`.
    """
    User.objects.select_for_update().get(pk=user.pk)  # one enrolment of an account at a time
    if is_enrolled(user) and not anew:
        raise AlreadyEnrolled
    step = step_of(seed, code)
    if step is None:
        raise WrongCode
    Authenticator.objects.filter(user=user).delete()
    device = Authenticator.objects.create(
        user=user, name=NAME_OF_APP, sealed_seed=seal(seed), last_step=step
    )
    return device, renew_recovery_codes(user)


def renew_recovery_codes(user: User) -> list[str]:
    """Return new recovery codes, which cannot be read again. Old codes are not taken any more."""
    codes = new_recovery_codes()
    RecoveryCodes.objects.update_or_create(
        user=user,
        defaults={"name": NAME_OF_CODES, "digests": [digest_of_code(code) for code in codes]},
    )
    return codes


def forget(user: User) -> bool:
    """Take the second factor away, and return whether there was one."""
    had_one = is_enrolled(user)
    Authenticator.objects.filter(user=user).delete()
    RecoveryCodes.objects.filter(user=user).delete()
    return had_one


def picture_of(seed: str, user: User) -> str:
    """Return the seed's QR code as a data URI."""
    qr_code = segno.make(address_for_app(seed, user.get_username()), error="m")
    return str(qr_code.svg_data_uri(scale=4, light="white"))
