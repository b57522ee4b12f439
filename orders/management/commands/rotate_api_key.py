"""Make an API key's successor: `manage.py rotate_api_key PREFIX [--overlap-hours HOURS]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.access.keys import (
    COMMAND,
    MOST_OVERLAP_HOURS,
    OVERLAP_HOURS,
    NotRotatable,
    TooManyKeys,
    rotate_key,
)
from orders.management.order_watch import engine_needed
from orders.models import ApiKey

LOST = "If a key was made, nobody knows it: look at list_api_keys, and revoke it."


class Command(BaseCommand):
    help = "Make a key with the same rights and print it; the old one holds for some hours more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the key's first characters, see list_api_keys")
        parser.add_argument("--overlap-hours", type=int, default=OVERLAP_HOURS, metavar="HOURS")

    def handle(self, *args: Any, prefix: str, overlap_hours: int, **options: Any) -> None:
        """:raises CommandError: there is no such key, or it cannot be rotated."""
        if not 0 <= overlap_hours <= MOST_OVERLAP_HOURS:
            raise CommandError(f"The old key holds for 0 to {MOST_OVERLAP_HOURS} hours more.")
        with engine_needed(lambda: LOST):
            key = ApiKey.objects.filter(prefix=prefix).first()
            if key is None:
                raise CommandError(f"There is no key {prefix}: see list_api_keys.")
            try:
                _, secret = rotate_key(key, overlap_hours, COMMAND)
            except (NotRotatable, TooManyKeys):
                raise CommandError(
                    f"{prefix} was rotated before, no longer holds, or its account has too many"
                    " keys: see list_api_keys."
                ) from None
        self.stderr.write("Keep this key: it cannot be shown again.")
        self.stdout.write(secret)
