"""Make an API key for an account: `manage.py create_api_key USER [--name TEXT]`."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from orders.access.keys import COMMAND, MAX_KEYS, SCOPES, TooManyKeys, Wish, make_key, read_network
from orders.management.order_watch import engine_needed

LOST = "If a key was made, nobody knows it: look at list_api_keys, and revoke it."


class Command(BaseCommand):
    help = "Make an API key for an account and print it: it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of the account")
        parser.add_argument("--name", default="", help="what the key is for")
        parser.add_argument(
            "--scope",
            choices=SCOPES,
            action="append",
            help="what it may do, may be repeated; both if left out",
        )
        parser.add_argument(
            "--address",
            action="append",
            default=[],
            help="an address or a network such as 203.0.113.0/24 from which alone it may be used,"
            " may be repeated",
        )
        parser.add_argument(
            "--expires-days",
            type=int,
            metavar="DAYS",
            help="90 if left out where others can reach the engine, else never",
        )

    def handle(
        self,
        *args: Any,
        user: str,
        name: str,
        scope: list[str] | None,
        address: list[str],
        expires_days: int | None,
        **options: Any,
    ) -> None:
        """:raises CommandError: there is no such account, or the key would never be valid."""
        model = get_user_model()
        with engine_needed(lambda: "No key was made."):
            owner = model.objects.filter(**{model.USERNAME_FIELD: user}).first()
        if owner is None:
            raise CommandError(
                f"There is no account {user}: make one first, in the admin or by createsuperuser."
            )
        if expires_days is not None and not 0 < expires_days <= 36_500:
            raise CommandError("A key expires after 1 to 36500 days.")
        end = None if expires_days is None else timezone.now() + timedelta(days=expires_days)
        wish = Wish(name[:100], tuple(dict.fromkeys(scope or SCOPES)), addresses(address), end)
        with engine_needed(lambda: LOST):
            try:
                _, secret = make_key(owner.pk, wish, COMMAND)
            except TooManyKeys:
                raise CommandError(f"{user} has {MAX_KEYS} keys: revoke one first.") from None
        self.stderr.write("Keep this key: it cannot be shown again.")
        self.stdout.write(secret)


def addresses(given: list[str]) -> list[str]:
    """:raises CommandError: an entry is no address."""
    for text in given:
        try:
            read_network(text)
        except ValueError as error:
            raise CommandError(f"--address: {error}.") from None
    return given
