"""Move a simulated pool: `manage.py migrate_pool NEW/SOL --source raydium --target meteora`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.management.commands.launch_pool import pair
from routing.operations.launches import VENUES, CannotLaunch, migrate_pool


class Command(BaseCommand):
    help = "Move all liquidity of a simulated pool to another venue, whose pool takes over."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pair", type=pair, help="base/quote, such as NEW/SOL")
        parser.add_argument("--source", choices=sorted(VENUES), required=True)
        parser.add_argument("--target", choices=sorted(VENUES), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: there is no such pool, or the target has one."""
        (base, quote), source, target = (options[name] for name in ("pair", "source", "target"))
        try:
            migrate_pool(base, quote, source, target)
        except CannotLaunch as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"The pool of {base}/{quote} moved from {source} to {target}.")
