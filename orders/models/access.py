"""Who may act for an account: API keys, and tickets for sockets."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class ApiKey(models.Model):
    """A secret that lets a program act for an account. Only its digest is kept.

    `addresses` are the networks from which it may be used, none: from anywhere. `seen_from` are the
    addresses it was used from, the newest first; an IPv6 one stands for its /64.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    may_read = models.BooleanField(default=True, db_default=True)
    may_trade = models.BooleanField(default=True, db_default=True)
    addresses = models.JSONField(default=list, db_default=[], blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_from = models.CharField(max_length=45, db_default="", blank=True, editable=False)
    seen_from = models.JSONField(db_default=[], blank=True, editable=False)
    rotated_from = models.OneToOneField(
        "self", models.SET_NULL, null=True, blank=True, related_name="successor", editable=False
    )

    class Meta:
        db_table = "api_keys"
        ordering = ("-created_at", "-id")
        verbose_name = "API key"
        constraints = (
            models.CheckConstraint(
                condition=Q(may_read=True) | Q(may_trade=True), name="api_keys_may_something"
            ),
        )

    def __str__(self) -> str:
        return f"{self.prefix}…"


class SocketTicket(models.Model):
    """Opens one WebSocket, once and soon, for the credential that asked for it."""

    digest = models.CharField(max_length=64, primary_key=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    session_key = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
    proof = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "socket_tickets"

    def __str__(self) -> str:
        return f"for account {self.owner_id}"
