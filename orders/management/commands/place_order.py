"""Place an order from the command line: `manage.py place_order sell 1.5 SOL/USDC --watch`."""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import psycopg
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from rest_framework.exceptions import ErrorDetail

from orders.access.admission import Overloaded, ShareIsFull
from orders.access.open_orders import TooManyOpenOrders
from orders.api.problems import Problem, invalid_fields, refusal
from orders.api.reading.serializers import DEFAULT_SLIPPAGE_BPS, InvalidOrder, read_order
from orders.engine.moves import TradingHalted
from orders.engine.submission import (
    OrderRequest,
    OutcomeUnknown,
    PricesUnavailable,
    new_order_id,
    submit_group,
    submit_order,
)
from orders.events import Event
from orders.management.order_options import add_options, fields_of
from orders.management.order_watch import (
    BAD_INPUT,
    FAILED,
    NOT_KNOWN,
    check_outcome,
    engine_needed,
    follow_and_tell,
    run,
)
from orders.management.telling import Telling
from routing.venue import BPS, Side
from routing.venues import LABELS

KNOWN = " or ".join(LABELS)
NOTHING_STORED = "Nothing was stored."
NOT_SAID = "The database did not say whether order {0} was stored."
LOOK = (
    "`manage.py watch_order {0}` shows it if it was; if there is no such order ten seconds after"
    " `manage.py status` finds the database, it was not."
)


class Command(BaseCommand):
    help = (
        "Place an order on the engine of this environment. Exit codes: 0 accepted (with --watch:"
        " confirmed; of an oco one of the two), 1 failed or cancelled, 2 bad input, 3 the database"
        " does not answer, 4 nobody knows whether the order was stored."
    )
    requires_system_checks = []  # an order should not wait for them
    known = NOTHING_STORED
    """What is known of the order if this command ends now."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("side", help="buy or sell, the base token")
        parser.add_argument(
            "amount", help="in whole tokens: that leaves the wallet; of a buy, say --in or --out"
        )
        parser.add_argument("market", help="such as SOL/USDC")
        of = parser.add_mutually_exclusive_group()
        of.add_argument("--in", action="store_true", help="the amount is what leaves the wallet")
        of.add_argument("--out", action="store_true", help="the amount is what must arrive")
        parser.add_argument(
            "--slippage-bps", metavar="BPS", help=f"0 to 5000 ({DEFAULT_SLIPPAGE_BPS})"
        )
        parser.add_argument(
            "--venue", action="append", help=f"trade only here: {KNOWN}; may be repeated"
        )
        parser.add_argument(
            "--exclude-venue", action="append", metavar="VENUE", help="not here; may be repeated"
        )
        parser.add_argument(
            "--max-price-impact-bps",
            metavar="BPS",
            help=f"0 to {BPS:,}: quotes that move the price further are dropped",
        )
        parser.add_argument(
            "--account", metavar="USER", help="whose order it is; nobody's if left out"
        )
        add_options(parser)
        parser.add_argument("--watch", action="store_true", help="show its events to the last")
        parser.add_argument("--json", action="store_true", help="write JSON, a line for each")

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: it is no order, or was not confirmed. The message says why."""
        logging.getLogger("orders").setLevel(logging.WARNING)  # the command prints the rest itself
        with engine_needed(lambda: self.known):
            owner = owner_named(options["account"])
        try:
            last = run(self.place(owner, **options), lambda: self.known)
        except InvalidOrder as refused:
            problem = invalid_fields(refused)
            self.tell(problem, options)
            raise CommandError(problem["detail"], returncode=BAD_INPUT) from None
        except PricesUnavailable as refused:
            self.tell(refusal(refused), options)
            text = f"No price is fresh enough to tell whether it would go off. {NOTHING_STORED}"
            raise CommandError(text, returncode=FAILED) from None
        except TooManyOpenOrders as refused:
            self.tell(refusal(refused), options)
            text = f"Too many orders of this account rest. {NOTHING_STORED}"
            raise CommandError(text, returncode=FAILED) from None
        except (Overloaded, ShareIsFull) as refused:
            self.tell(refusal(refused), options)
            raise CommandError(
                f"Too many orders wait. {NOTHING_STORED}", returncode=FAILED
            ) from None
        except TradingHalted as refused:
            self.tell(refusal(refused), options)
            raise CommandError(f"Trading is halted. {NOTHING_STORED}", returncode=FAILED) from None
        except OutcomeUnknown as unknown:
            self.tell(refusal(unknown), options)
            text = f"{NOT_SAID} {LOOK}".format(unknown.order_id)
            raise CommandError(text, returncode=NOT_KNOWN) from None
        if options["watch"]:
            check_outcome(*last)

    def tell(self, problem: Problem | None, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(problem))

    async def place(self, owner: int | None, **options: Any) -> list[Event]:
        """Submit the order, show it, and return the last event that was shown; of an oco, of both.

        :raises InvalidOrder: it is no order.
        :raises OutcomeUnknown: it is not known whether the order is stored.
        """
        check_words(options)
        request = await read_order(as_sent(options))
        order_ids = [new_order_id() for _ in request.legs or (request,)]
        self.known = LOOK.format(order_ids[0])  # for the message after a Ctrl-C
        try:
            orders, events = await submit(request, owner, order_ids)
        except psycopg.Error:
            self.known = NOTHING_STORED
            raise
        self.known = stored_and_goes_on(order_ids)
        for order in orders:
            self.show(order, as_json=options["json"])
        if not options["watch"]:
            return events
        return await asyncio.gather(
            *(self.watch(*one, options) for one in zip(orders, events, strict=True))
        )

    def show(self, order: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(order))
            return
        role = f" ({order['groupRole']})" if "groupRole" in order else ""
        self.stdout.write(f"Order {order['orderId']}{role}: {order['message']}")

    async def watch(self, order: dict[str, Any], event: Event, options: dict[str, Any]) -> Event:
        telling = Telling(
            self.stdout,
            as_json=options["json"],
            name=order.get("groupRole", ""),
            order=order,
            no_color=options["no_color"],
        )
        return await follow_and_tell(order["orderId"], telling) or event


async def submit(
    request: OrderRequest, owner: int | None, order_ids: Sequence[str]
) -> tuple[list[dict[str, Any]], list[Event]]:
    """Store the order, or the two of an oco, under these ids; return them and their first events.

    :raises Exception: what `submit_order` and `submit_group` raise.
    """
    if request.legs:
        group = await submit_group(request, owner, order_ids=order_ids)
        return group.orders, group.events
    order, event, _ = await submit_order(request, owner, order_id=order_ids[0])
    return [order], [event]


def stored_and_goes_on(order_ids: Sequence[str]) -> str:
    if len(order_ids) == 1:
        return f"Order {order_ids[0]} is stored, and goes on."
    return f"Orders {' and '.join(order_ids)} are stored, and go on."


def owner_named(name: str | None) -> int | None:
    """:raises CommandError: there is no such account."""
    if name is None:
        return None
    owner = User.objects.filter(username=name).values_list("pk", flat=True).first()
    connection.close()
    if owner is None:
        raise CommandError(f"There is no account {name}.", returncode=BAD_INPUT)
    return owner


def check_words(options: dict[str, Any]) -> None:
    """Look at what is named otherwise here than in the API.

    :raises InvalidOrder: the side or the market is none.
    """
    wrong = {}
    if options["side"].lower() not in tuple(Side):
        wrong["side"] = [ErrorDetail(f"{options['side']} is not buy or sell.", "invalid_choice")]
    base, _, quote = options["market"].partition("/")
    if not (base and quote):
        text = f"{options['market']} is not BASE/QUOTE, such as SOL/USDC."
        wrong["market"] = [ErrorDetail(text, "unknown_market")]
    if wrong:
        raise InvalidOrder(wrong, ["side", "market"])


def as_sent(options: dict[str, Any]) -> dict[str, Any]:
    """Return the order with the API's names."""
    base, _, quote = options["market"].partition("/")
    ways = {"out": "amountOut", "in": "amountIn"}
    amount = next((field for way, field in ways.items() if options[way]), "amount")
    return {
        "side": options["side"],
        "baseToken": base,
        "quoteToken": quote,
        amount: options["amount"],
        "slippageBps": options["slippage_bps"],
        "venues": options["venue"],
        "excludeVenues": options["exclude_venue"],
        "maxPriceImpactBps": options["max_price_impact_bps"],
        **fields_of(options),
    }
