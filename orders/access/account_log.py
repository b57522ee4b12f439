"""Tells both logs when Django's own commands create an account or set a password.

The admin logs what is done in it, and so do our own commands.
"""

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User

from config.http.security_log import tell
from orders.access.keys import login_name


def tell_of_command(instance: User, created: bool, **_: Any) -> None:
    """Tell of an account that a command has saved (a receiver of `post_save`)."""
    changed = "made" if created else "password"
    message = f"{changed.capitalize()}. By command, as {login_name()} of the machine."
    flag = ADDITION if created else CHANGE
    LogEntry.objects.log_actions(instance.pk, [instance], flag, message, single_object=True)
    tell("account_changed", account=instance.pk, by="command", changed=changed)
