"""Give an account a new password: `manage.py reset_password USER`."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config.http.security_log import tell
from orders.logins.sessions import end_sessions
from orders.management.named_accounts import account_named, note
from orders.management.order_watch import engine_needed

PASSWORD_BYTES = 15


class Command(BaseCommand):
    help = "Give an account a random password and print it, this once; its sessions end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of the account")

    def handle(self, *args: Any, user: str, **options: Any) -> None:
        """:raises CommandError: there is no such account."""
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        with engine_needed(lambda: "Run it again: nobody knows the password that may be set."):
            account = account_named(user)
            account.set_password(password)
            account.save(update_fields=["password"])
            end_sessions(account)
            note(account, "New password, by manage.py reset_password.")
        tell("password_changed", account=account.pk, by="command")
        self.stderr.write("Hand this over: it cannot be shown again. A new one is chosen under")
        self.stderr.write("Account, New password.")
        self.stdout.write(password)
