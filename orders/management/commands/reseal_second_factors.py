"""Encrypt the seeds of all second factors again, after a change of SECRET_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from orders.logins.models import Authenticator
from orders.logins.seal import CannotOpen, reseal
from orders.management.order_watch import engine_needed


class Command(BaseCommand):
    help = (
        "Encrypt all seeds of second factors under the SECRET_KEY of now. Harmless when repeated."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: a seed needs a key that is not in SECRET_KEY_FALLBACKS."""
        with engine_needed(lambda: "Run it again: that does no harm."):
            count, lost = reseal_all()
        self.stdout.write(f"{count} second factors are encrypted under this SECRET_KEY.")
        if lost:
            names = ", ".join(lost)
            raise CommandError(
                f"Encrypted under another key: those of {names}. Put that key into"
                " SECRET_KEY_FALLBACKS, or run reset_second_factor for each of them."
            )


@transaction.atomic
def reseal_all() -> tuple[int, list[str]]:
    """Return how many seeds were encrypted, and the accounts whose seed no key opens."""
    count, lost = 0, []
    for each in Authenticator.objects.select_for_update(of=("self",)).select_related("user"):
        try:
            each.sealed_seed = reseal(each.sealed_seed)
        except CannotOpen:
            lost.append(each.user.get_username())
            continue
        each.save(update_fields=["sealed_seed"])
        count += 1
    return count, lost
