"""Show the API keys: `manage.py list_api_keys [USER]`."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orders.access.keys import scopes_of
from orders.management.order_watch import engine_needed
from orders.models import ApiKey


class Command(BaseCommand):
    help = "List the API keys, the newest first; secrets are not kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", nargs="?", help="name of an account; all if left out")

    def handle(self, *args: Any, user: str | None, **options: Any) -> None:
        keys = ApiKey.objects.select_related("owner")
        with engine_needed():
            chosen = list(keys.filter(owner__username=user) if user else keys)
        for key in chosen:
            words = [key.prefix, key.owner.get_username(), state_text(key), *details(key)]
            self.stdout.write("  ".join(word for word in words if word))


def details(key: ApiKey) -> list[str]:
    """Return what the key may do, and when it was last used."""
    used = f"used {day(key.last_used_at)}" if key.last_used_at else "never used"
    return [",".join(scopes_of(key)), used, " ".join(key.addresses), key.name]


def state_text(key: ApiKey) -> str:
    if key.revoked_at:
        return f"revoked {day(key.revoked_at)}"
    return f"expires {day(key.expires_at)}" if key.expires_at else "holds"


def day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
