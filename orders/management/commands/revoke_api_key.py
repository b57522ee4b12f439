"""Revoke an API key: `manage.py revoke_api_key PREFIX`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.access.keys import COMMAND, revoke_keys
from orders.management.order_watch import engine_needed
from orders.models import ApiKey


class Command(BaseCommand):
    help = "Revoke an API key by its prefix; its sockets are closed within seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the key's first characters, see list_api_keys")

    def handle(self, *args: Any, prefix: str, **options: Any) -> None:
        """:raises CommandError: there is no such key."""
        with engine_needed(lambda: "Revoke it again: that does no harm, and tells."):
            is_revoked = revoke_keys(ApiKey.objects.filter(prefix=prefix), COMMAND)
            is_known = is_revoked or ApiKey.objects.filter(prefix=prefix).exists()
        if not is_known:
            raise CommandError(f"There is no key {prefix}: see list_api_keys.")
        self.stdout.write(f"{prefix} {'is revoked' if is_revoked else 'was revoked before'}.")
