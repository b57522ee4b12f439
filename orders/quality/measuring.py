"""Measures orders after their end, in batches. The scheduler does it; it may run twice at once.

An order is found by when it ended. Its end may be committed a little later than another that came
after it, so the last minute is always looked through again.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection, transaction

from orders.models import ExecutionQuality
from orders.quality.parts import Offers, chain_of, compared, gain, gain_bps, offers_of
from orders.words import OrderType
from routing.registry import look_up, registry
from routing.stored_decision import StoredDecision
from routing.tokens import USDC, Market, Token, UnknownMarket, UnknownToken
from routing.venue import Side, Swap

logger = logging.getLogger(__name__)

UNREADABLE = (LookupError, ValueError, ArithmeticError, TypeError)
"""What a decision that an unknown release stored may raise."""
MICRO, LONG = Decimal("0.000001"), Context(prec=60)
BATCH, MOST_BATCHES = 500, 20
"""How many orders one statement reads, and how many batches one run has."""
SETTLED_SECONDS = 1
"""So long after its end an order is measured: its prices are stored then."""
LOOKED_BACK_SECONDS = 60
"""Longer than a transaction can last."""
MOST_TICK_AGE = 3
"""Seconds: the price of an acceptance may be so old."""

# While there are no statistics, the planner would read all that ended, and sort.
IN_ORDER = "SELECT set_config('enable_bitmapscan', 'off', true)"
# A clock that was set back leaves ends in the future: what is new is then behind them.
ENDED = """
SELECT o.id, o.owner_id, o.status, o.side, o.base, o.quote, o.amount_in, o.amount_out, o.filled_in,
  o.filled_out, o.venue, o.created_at, o.finished_at,
  CASE WHEN o.filled_in IS NOT NULL THEN (
    SELECT event.data::text FROM order_events AS event
    WHERE event.order_id = o.id AND event.status = 'building' ORDER BY event.seq DESC LIMIT 1
  ) END,
  CASE WHEN o.terms IS NOT NULL THEN (
    SELECT max(event.at) FROM order_events AS event
    WHERE event.order_id = o.id AND event.event IN ('triggered', 'released')
      AND event.status = 'pending'
  ) END
FROM orders AS o
WHERE o.finished_at >= coalesce((
    SELECT least(finished_at, clock_timestamp()) - %(back)s * interval '1 second'
    FROM execution_quality ORDER BY finished_at DESC LIMIT 1), '-infinity')
  AND o.finished_at <= statement_timestamp() - %(settled)s * interval '1 second'
  AND o.type <> %(parent)s
  AND NOT EXISTS (SELECT FROM execution_quality AS known WHERE known.order_id = o.id)
ORDER BY o.finished_at LIMIT %(most)s
"""
# Of an order that rested for longer than ticks are kept: the first price of that minute.
ARRIVALS = """
SELECT asked.id, coalesce((
    SELECT tick.reference FROM price_ticks AS tick
    WHERE tick.pair = asked.pair AND tick.tick BETWEEN asked.second - %(age)s AND asked.second
      AND tick.reference IS NOT NULL ORDER BY tick.tick DESC LIMIT 1
  ), (
    SELECT minute.reference_first FROM price_minutes AS minute
    WHERE minute.pair = asked.pair AND minute.minute = asked.second - asked.second %% 60
  ))
FROM unnest(%(ids)s::uuid[], %(pairs)s::text[], %(seconds)s::bigint[])
  AS asked (id, pair, second)
"""
BOUNDS = {
    **{"back": LOOKED_BACK_SECONDS, "settled": SETTLED_SECONDS, "most": BATCH},
    "parent": OrderType.TWAP.value,
}


class Ended(NamedTuple):
    """A row of ENDED."""

    id: UUID
    owner_id: int | None
    status: str
    side: str
    base: str
    quote: str
    amount_in: int | None
    amount_out: int | None
    filled_in: int | None
    filled_out: int | None
    venue: str | None
    created_at: datetime
    finished_at: datetime
    decision: str | None
    released_at: datetime | None


def measure_ended() -> None:
    """Measure all orders that ended and were not measured yet, as far as one run comes."""
    for _ in range(MOST_BATCHES):
        if measure_batch() < BATCH:
            return


def measure_batch() -> int:
    """Measure the first orders that were not measured yet. Return how many."""
    with transaction.atomic():
        _fetch(IN_ORDER, {})
        ended = [Ended._make(row) for row in _fetch(ENDED, BOUNDS)]
    if not ended:
        return 0
    markets = {order.id: market_of(order) for order in ended}
    arrivals = _arrivals(ended, markets)
    rows = [measured(order, markets[order.id], arrivals.get(order.id)) for order in ended]
    ExecutionQuality.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def measured(
    order: Ended, market: Market | None, arrival_price: Decimal | None
) -> ExecutionQuality:
    """Return what is to be stored of an order; without amounts if it was not filled."""
    row = ExecutionQuality(
        order_id=order.id,
        owner_id=order.owner_id,
        finished_at=order.finished_at,
        status=order.status,
        market=f"{order.base}/{order.quote}",
        side=order.side,
        venue=order.venue,
        took=(order.finished_at - (order.released_at or order.created_at)).total_seconds(),
        arrival_price=arrival_price,
    )
    if market is None:
        return row
    swap = Swap(market, Side(order.side), order.amount_in, order.amount_out)
    if order.filled_in is None or order.filled_out is None:
        row.worth = worth(*_given(swap))
        return row
    fill = Fill(swap, order.filled_in, order.filled_out)
    row.worth = worth(market.quote, fill.in_quote)
    try:
        _compare(row, fill, _offers(order, swap))
    except UNREADABLE as error:
        logger.warning("order %s: its stored decision cannot be read: %s", order.id, error)
    return row


def _offers(order: Ended, swap: Swap) -> Offers | None:
    if order.decision is None:
        return None
    data = orjson.loads(order.decision)
    return offers_of(swap, StoredDecision(data, order.base, order.quote, order.side))


def _compare(row: ExecutionQuality, fill: "Fill", offers: Offers | None) -> None:
    """Add how the fill compares with the quote, the runner-up and the market."""
    if offers is None:
        return
    swap, filled = fill.swap, fill.compared
    quoted = compared(swap, offers.quote.amount_in, offers.quote.amount_out)
    row.quoted = quoted
    row.vs_quote_bps = gain_bps(swap, quoted, filled)
    row.vs_quote_worth = fill.worth_of(gain(swap, quoted, filled))
    if offers.other is not None:
        other = compared(swap, offers.other.amount_in, offers.other.amount_out)
        row.other, row.other_venue = other, offers.other.venue
        row.vs_other_bps = gain_bps(swap, other, filled)
        row.vs_other_worth = fill.worth_of(gain(swap, other, filled))
    chain = None
    if row.arrival_price is not None:
        chain = chain_of(swap, row.arrival_price, offers.quote)
    if chain is not None:
        row.arrival, row.at_spot, row.at_price = chain.arrival, chain.at_spot, chain.at_price


class Fill(NamedTuple):
    """What moved, in atoms."""

    swap: Swap
    amount_in: int
    amount_out: int

    @property
    def compared(self) -> int:
        return compared(self.swap, self.amount_in, self.amount_out)

    @property
    def in_quote(self) -> int:
        return self.amount_out if self.swap.side is Side.SELL else self.amount_in

    @property
    def in_base(self) -> int:
        return self.amount_in if self.swap.side is Side.SELL else self.amount_out

    def worth_of(self, atoms: int) -> Decimal | None:
        """Return what atoms of the compared token are worth at this fill's price, in USDC."""
        compares_base = (self.swap.side is Side.SELL) is not self.swap.is_exact_in
        in_quote = atoms * self.in_quote // self.in_base if compares_base else atoms
        return worth(self.swap.market.quote, in_quote)


def worth(token: Token, atoms: int) -> Decimal | None:
    """Return what an amount is worth in USDC, by the reference prices; None: they do not say."""
    known = registry()
    try:
        value = known.value_of(token, atoms, known.token(USDC.symbol))
    except (UnknownToken, UnknownMarket):
        return None
    return value.quantize(MICRO, context=LONG)


def market_of(order: Ended) -> Market | None:
    """Return the market of an order; None if it is not known."""
    try:
        return look_up(
            lambda known: known.market_of_order(known.token(order.base), known.token(order.quote))
        )
    except (UnknownToken, UnknownMarket):
        return None


def _given(swap: Swap) -> tuple[Token, int]:
    if swap.amount_in is not None:
        return swap.token_in, swap.amount_in
    return swap.token_out, swap.amount_out or 0


def _arrivals(
    orders: Sequence[Ended], markets: dict[UUID, Market | None]
) -> dict[UUID, Decimal | None]:
    asked = [(order, market) for order in orders if (market := markets[order.id]) is not None]
    wanted = {
        "ids": [order.id for order, _ in asked],
        "pairs": [market.pair for _, market in asked],
        "seconds": [int(order.created_at.timestamp()) for order, _ in asked],
        "age": MOST_TICK_AGE,
    }
    return dict(_fetch(ARRIVALS, wanted))


def _fetch(statement: str, parameters: dict[str, Any]) -> Iterable[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
