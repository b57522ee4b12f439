"""Show whether the engine trades, or change it: `manage.py trading_state halted --why TEXT`."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orders.engine.trading_state import change_trading_state, trading_state
from orders.management.order_watch import engine_needed
from orders.models import TradingState


class Command(BaseCommand):
    help = (
        "Show whether the engine trades, or change it. While it is halted nothing new is taken,"
        " nothing triggers and nothing is claimed; cancelling works, and what was submitted is"
        " settled. Exit codes: 0 done, 3 the database does not answer."
    )
    requires_system_checks = []  # it is called when something is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("state", nargs="?", choices=TradingState.State.values)
        parser.add_argument("--why", default="", help="is kept with the change")

    def handle(self, *args: Any, **options: Any) -> None:
        with engine_needed():
            if options["state"] is None:
                row = trading_state()
            else:
                state = TradingState.State(options["state"])
                row = change_trading_state(state, f"{who()} (command)", options["why"])
        self.stdout.write(sentence_of(row))


def who() -> str:
    """Return the name of this process's user, or its number if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "an operator"


def sentence_of(row: TradingState | None) -> str:
    if row is None:
        return "active: it was never changed"
    why = f": {row.why}" if row.why else ""
    return f"{row.state} since {row.at:%Y-%m-%d %H:%M:%S} UTC, by {row.changed_by}{why}"
