"""Watch an order from the command line: `manage.py watch_order ID`."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.events import Event
from orders.management.order_watch import (
    BAD_INPUT,
    check_outcome,
    follow_and_tell,
    last_event,
    run,
)
from orders.management.telling import Telling
from orders.streams.resync import UnknownOrder


class Command(BaseCommand):
    help = (
        "Show an order's events to the last. Exit codes: 0 confirmed, 1 failed or cancelled,"
        " 2 no such order, 3 the database does not answer."
    )
    requires_system_checks = []  # an order does not wait for them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("order_id", metavar="ID")
        parser.add_argument("--after", type=int, default=0, metavar="SEQ", help="only later events")
        parser.add_argument("--json", action="store_true", help="write JSON, a line for each")

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: there is no such order, or it was not confirmed."""
        telling = Telling(self.stdout, as_json=options["json"], no_color=options["no_color"])
        try:
            last = run(watch(str(UUID(options["order_id"])), options["after"], telling))
        except (ValueError, UnknownOrder):
            text = f"There is no order {options['order_id']}."
            raise CommandError(text, returncode=BAD_INPUT) from None
        check_outcome(last, was_told=telling.last is not None)


async def watch(order_id: str, after: int, telling: Telling) -> Event:
    """Show the order's events after this seq, and return its final one.

    :raises UnknownOrder: there is no such order.
    """
    last = await last_event(order_id)
    if last.is_final and last.seq <= after:
        return last
    return await follow_and_tell(order_id, telling, min(after, last.seq)) or last
