"""The shared code of commands about accounts: it finds one, and notes what was done with it."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management.base import CommandError


def account_named(name: str) -> User:
    """:raises CommandError: there is no such account."""
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no account {name}.")
    return user


def note(user: User, deed: str) -> None:
    """Write an entry to the admin's log in the account's own name: a command has no other."""
    LogEntry.objects.log_actions(user.pk, [user], CHANGE, deed, single_object=True)
