"""Launch a simulated pool: `manage.py launch_pool NEW/SOL --venue raydium --liquidity 50`."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.operations.launches import DECIMALS, VENUES, CannotLaunch, Launch, launch_pool

MOST_SECONDS = 30 * 86_400


def pair(text: str) -> tuple[str, str]:
    """:raises ValueError: it is not two symbols."""
    base, quote = text.upper().split("/")
    return base, quote


def positive(text: str) -> Decimal:
    """:raises ValueError: it is not a number above 0."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not number.is_finite() or number <= 0:
        raise ValueError(text)
    return number


class Command(BaseCommand):
    help = "Launch a simulated pool. Its base token and its market are added if they are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pair", type=pair, help="base/quote, such as NEW/SOL")
        parser.add_argument("--venue", choices=sorted(VENUES), required=True)
        parser.add_argument(
            "--liquidity",
            type=positive,
            required=True,
            help="of each side, in whole quote tokens",
        )
        parser.add_argument(
            "--opens-in",
            type=int,
            choices=range(MOST_SECONDS + 1),
            default=0,
            metavar="SECONDS",
            help="when it can be traded in (0: now)",
        )
        parser.add_argument(
            "--price", type=positive, help="quote per base token, of a market that is new"
        )
        parser.add_argument(
            "--decimals",
            type=int,
            default=DECIMALS,
            help=f"of a base token that is new ({DECIMALS})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: there can be no such pool."""
        base, quote = options["pair"]
        asked = ("venue", "liquidity", "opens_in", "price", "decimals")
        launch = Launch(base, quote, **{name: options[name] for name in asked})
        try:
            made = launch_pool(launch)
        except CannotLaunch as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"{launch.venue}: {base}/{quote} opens at {made.opens_at:%H:%M:%S} UTC.")
