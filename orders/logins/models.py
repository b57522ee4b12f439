"""What is stored of persons besides Django's accounts: second factors, sessions, known places."""

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import models
from django_otp.models import Device

from orders.logins.codes import Step, digest_of_code, step_of
from orders.logins.seal import CannotOpen, unseal


class Authenticator(Device):
    """The app on a person's phone that shows six digits. Its seed is only stored encrypted."""

    sealed_seed = models.TextField()
    last_step = models.BigIntegerField(default=-1)
    """The half minute of the last code that was taken, since no code is taken twice."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["user"], name="one_authenticator_each")
        ]

    def verify_token(self, token: str) -> bool:
        """Take a code, once. django-otp calls it while it holds the row's lock.

        If SECRET_KEY has changed, the seed cannot be opened. Then no code is right.
        """
        try:
            step: Step | None = step_of(unseal(self.sealed_seed), token, after=self.last_step)
        except CannotOpen:
            return False
        if step is None:
            return False
        self.last_step = step
        self.save(update_fields=["last_step"])
        return True


class RecoveryCodes(Device):
    """Codes on paper, for the day the phone is gone. The digests of unused ones are stored."""

    digests = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["user"], name="one_set_of_recovery_codes_each")
        ]

    def verify_token(self, token: str) -> bool:
        """Take a code, once. django-otp calls it while it holds the row's lock."""
        digest = digest_of_code(token)
        if digest not in self.digests:
            return False
        self.digests.remove(digest)
        self.save(update_fields=["digests"])
        return True


class LoginSession(models.Model):
    """The account of a Django session, and where it began. It is deleted with the session's row."""

    session = models.OneToOneField(
        Session, models.CASCADE, db_constraint=False, related_name="login"
    )
    owner = models.ForeignKey(User, models.CASCADE, related_name="+")
    address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=200, blank=True)
    began_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.owner} since {self.began_at}"


class KnownPlace(models.Model):
    """An address from which a name has logged in. Stored is a keyed digest of both."""

    digest = models.CharField(max_length=64, primary_key=True)
    seen_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.digest
