from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from orders.engine.wallet.start import refuse_unfit_wallet


class Command(BaseCommand):
    help = "Say with code 2 if the wallet or its network cannot be used as things are set."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unfit_wallet()
        if options["verbosity"] > 1 and settings.VENUES == "simulated":
            self.stdout.write("The venues are simulated: there is no wallet.")
