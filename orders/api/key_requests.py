"""API keys in the form that clients ask for, and in the form that answers show."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from orders.access.keys import (
    MAX_ADDRESSES,
    MOST_DAYS,
    MOST_OVERLAP_HOURS,
    OVERLAP_HOURS,
    SCOPES,
    Wish,
    read_network,
    scopes_of,
    state_of,
)
from orders.events import timestamp
from orders.models import ApiKey

MAX_NAME = 100


class KnownFields(serializers.Serializer[Any]):
    """Refuses unknown fields by their names."""

    def to_internal_value(self, data: Any) -> Any:
        """:raises ValidationError: a field is unknown or wrong."""
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            detail = [ErrorDetail("There is no such field.", "unknown_field")]
            raise serializers.ValidationError({name[:64]: detail for name in sorted(unknown)[:50]})
        return super().to_internal_value(data)


class NewKey(KnownFields):
    """What is wanted of a new key; `scopes` have to be named."""

    name = serializers.CharField(max_length=MAX_NAME, allow_blank=True, default="")
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES), min_length=1)
    addresses = serializers.ListField(
        child=serializers.CharField(max_length=64), max_length=MAX_ADDRESSES, default=list
    )
    expiresInDays = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, required=False)

    def validate_addresses(self, texts: list[str]) -> list[str]:
        """:raises ValidationError: an entry is neither an address nor a network."""
        for text in texts:
            try:
                read_network(text)
            except ValueError:
                reason = f"{text!r} is neither an address nor a network such as 203.0.113.0/24."
                raise serializers.ValidationError(reason, "invalid_address") from None
        return texts

    def wish(self) -> Wish:
        """Return what was asked for.

        :raises ValidationError: something is wrong.
        """
        self.is_valid(raise_exception=True)
        fields = self.validated_data
        days = fields.get("expiresInDays")
        end = None if days is None else timezone.now() + timedelta(days=days)
        scopes = tuple(scope for scope in SCOPES if scope in fields["scopes"])
        return Wish(fields["name"], scopes, fields["addresses"], end)


class NewName(KnownFields):
    name = serializers.CharField(max_length=MAX_NAME, allow_blank=True)

    def read_name(self) -> str:
        """:raises ValidationError: there is no right name."""
        self.is_valid(raise_exception=True)
        return str(self.validated_data["name"])


class Rotation(KnownFields):
    overlapHours = serializers.IntegerField(
        min_value=0, max_value=MOST_OVERLAP_HOURS, default=OVERLAP_HOURS
    )

    def hours(self) -> int:
        """:raises ValidationError: there is no right number of hours."""
        self.is_valid(raise_exception=True)
        return int(self.validated_data["overlapHours"])


def key_as_json(key: ApiKey) -> dict[str, Any]:
    """Return what a client may know of a key: everything except the secret."""
    successor = getattr(key, "successor", None)
    return {
        "prefix": key.prefix,
        "name": key.name,
        "scopes": scopes_of(key),
        "addresses": key.addresses,
        "standing": state_of(key),
        "createdAt": timestamp(key.created_at),
        "expiresAt": key.expires_at and timestamp(key.expires_at),
        "revokedAt": key.revoked_at and timestamp(key.revoked_at),
        "lastUsedAt": key.last_used_at and timestamp(key.last_used_at),
        "lastUsedFrom": key.last_used_from or None,
        "rotatedFrom": key.rotated_from and key.rotated_from.prefix,
        "rotatedTo": successor and successor.prefix,
    }
