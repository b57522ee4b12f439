"""Revoke an API key: `manage.py revoke_api_key PREFIX`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.accounts import revoke_api_keys
from orders.models import ApiKey


class Command(BaseCommand):
    help = "Revoke an API key by its prefix; its sockets are closed within seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the key's first 12 characters, see list_api_keys")

    def handle(self, *args: Any, prefix: str, **options: Any) -> None:
        """:raises CommandError: there is no such key."""
        if revoke_api_keys(ApiKey.objects.filter(prefix=prefix)):
            self.stdout.write(f"{prefix} is revoked.")
        elif ApiKey.objects.filter(prefix=prefix).exists():
            self.stdout.write(f"{prefix} was revoked before.")
        else:
            raise CommandError(f"There is no key {prefix}: see list_api_keys.")
