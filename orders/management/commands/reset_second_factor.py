"""Take an account's second factor away: `manage.py reset_second_factor USER`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config.http.security_log import tell
from orders.logins.second_factor import forget
from orders.logins.sessions import end_sessions
from orders.management.named_accounts import account_named, note
from orders.management.order_watch import engine_needed

AGAIN = "Run it again: that does no harm."


class Command(BaseCommand):
    help = "Take an account's second factor away, for who has lost it; its sessions end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of the account")

    def handle(self, *args: Any, user: str, **options: Any) -> None:
        """:raises CommandError: there is no such account."""
        with engine_needed(lambda: AGAIN):
            account = account_named(user)
            had_one = forget(account)
            end_sessions(account)
            note(account, "Second factor taken away, by manage.py reset_second_factor.")
        tell("second_factor_reset", account=account.pk, by="command")
        has_none = "has no second factor any more" if had_one else "had no second factor"
        self.stdout.write(f"{user} {has_none}, and is logged out everywhere.")
