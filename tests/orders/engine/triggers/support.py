"""Orders that rest, and the ticks that they are compared with."""

import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from orders.engine.journal import Journal
from orders.engine.moves import NewOrder
from orders.engine.triggers.evaluator import Evaluator
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import first_watch
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.registry import registry
from routing.venue import Side
from tests.support.database import Database
from tests.support.samples import new_order
from tests.support.venue_stubs import PoolVenue

PAIR = "SOL/USDC"


def constant_product(base: int, quote: int, fee_millionths: int = 2_500) -> ConstantProductPool:
    """Return a pool of so many whole SOL and USDC."""
    return ConstantProductPool(base * 10**9, quote * 10**6, FeeRates(fee_millionths, 0, 0))


def deep_venue() -> PoolVenue:
    """At about 100 USDC for a SOL; no order of these tests moves it."""
    return PoolVenue("raydium", {PAIR: constant_product(10_000_000, 1_000_000_000)})


def resting(order_type: str, **asked: Any) -> NewOrder:
    """Return an order that rests; prices may be text, and the rest as `new_order` has it."""
    side = Side(asked.pop("side", "sell"))
    amounts = {"amount_in": 1_500_000_000, "amount_out": None}
    amounts |= {name: asked.pop(name) for name in tuple(amounts) if name in asked}
    order = {
        name: asked.pop(name)
        for name in ("owner", "stranger", "id", "constraints")
        if name in asked
    }
    prices = ("limit_price", "trigger_price", "activation_price")
    terms = {name: Decimal(asked[name]) for name in prices if name in asked}
    terms |= {name: value for name, value in asked.items() if name not in prices}
    terms = {"time_in_force": "gtc", **terms}
    if "limit_price" in terms:
        market = registry().market_of_order(registry().token("SOL"), registry().token("USDC"))
        terms["bound"] = bound_of_limit(market, side, terms["limit_price"], **amounts)
    asked_for = Terms(**terms)
    return new_order(
        type=order_type,
        side=side.value,
        slippage_bps=None if order_type in ("limit", "stopLimit") else 500,
        terms=asked_for,
        watch=first_watch(order_type, side, asked_for),
        data={"order": {}},
        **amounts,
        **order,
    )


class Desk:
    """Takes orders, makes ticks, and has them evaluated."""

    def __init__(self, journal: Journal, database: Database, evaluator: Evaluator) -> None:
        self._journal = journal
        self.database = database
        self.evaluator = evaluator
        self.second = int(time.time()) + 1
        """The unix second of the next tick; orders are looked at from the second after theirs."""

    async def rest(self, order_type: str, **asked: Any) -> str:
        """Store an order, and return its id. The next tick is one that it is compared with."""
        order = resting(order_type, **asked)
        await self._journal.accept(order)
        self.second = max(self.second, await self._from_tick(order.id))
        return order.id

    async def market(self, **asked: Any) -> str:
        """Store a market order, which waits in line, and return its id."""
        order = new_order(**asked)
        await self._journal.accept(order)
        return order.id

    async def group(self, *orders: tuple[str, Mapping[str, Any]]) -> list[str]:
        """Store the orders of a group, and return their ids."""
        group_id = str(uuid.uuid4())
        return [await self.rest(name, group_id=group_id, **asked) for name, asked in orders]

    async def tick(self, pair: str = PAIR, evaluates: bool = True, **prices: Any) -> int:
        """Make the next tick; `bid`, or `bid_low` and `bid_high`. Return its second."""
        extremes = {}
        for line in ("bid", "ask", "reference"):
            for end in ("low", "high"):
                extremes[f"{line}_{end}"] = prices.get(f"{line}_{end}", prices.get(line))
        await self.database.rows(
            "INSERT INTO price_ticks (pair, tick, bid_low, bid_high, ask_low, ask_high,"
            " reference_low, reference_high)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            *(pair, self.second, *extremes.values()),
        )
        made, self.second = self.second, self.second + 1
        if evaluates:
            await self.evaluate()
        return made

    async def evaluate(self) -> None:
        await self.evaluator.evaluate(self.second - 1)

    async def status(self, order_id: str) -> str:
        status: str = await self.database.order(order_id, "status")
        return status

    async def statuses(self, *order_ids: str) -> list[str]:
        return [await self.status(order_id) for order_id in order_ids]

    async def watch(self, order_id: str, column: str) -> Any:
        """Return a column of what an order watches; None if it watches nothing."""
        rows = await self.database.rows(
            f"SELECT {column} FROM watches WHERE order_id = %s", order_id
        )
        return rows[0][0] if rows else None

    async def change_watch(self, order_id: str, change: str) -> None:
        """As another door would; `change` is SQL."""
        await self.database.rows(f"UPDATE watches SET {change} WHERE order_id = %s", order_id)

    async def halt(self, is_halted: bool = True) -> None:
        await self.database.rows(
            "INSERT INTO trading_states (state, changed_by, why) VALUES (%s, 'a test', '')",
            "halted" if is_halted else "active",
        )

    async def is_evaluated(self) -> bool:
        """Whether all ticks that were made are over."""
        rows = await self.database.rows(
            "SELECT 1 FROM price_ticks AS t WHERE tick > coalesce((SELECT evaluated_tick"
            " FROM pair_progress AS p WHERE p.pair = t.pair), 0)"
        )
        return not rows

    async def latch(self, order_id: str) -> None:
        """Have a released order come back as the carrier sends it back: latched, and due now."""
        await self.database.rows(
            "UPDATE orders SET status = 'routing', seq = seq + 1,"
            " attempts = attempts + 1, started_at = clock_timestamp(), min_out = 140000000"
            " WHERE id = %s",
            order_id,
        )
        await self.database.rows(
            "UPDATE orders SET status = 'open', resting = true,"
            " seq = seq + 1, phase = 'latched' WHERE id = %s",
            order_id,
        )
        await self.database.rows(
            "INSERT INTO watches (order_id, pair, line, kind, act, from_tick, queued_at, check_at,"
            " expires_at, group_id) SELECT id, base || '/' || quote, 'b', 'c', 'f', 0,"
            " clock_timestamp(), clock_timestamp(), clock_timestamp() + interval '9 days', group_id"
            " FROM orders WHERE id = %s",
            order_id,
        )

    async def events(self, order_id: str) -> list[str]:
        """Return what happened to an order, in the words of its log."""
        rows = await self.database.rows(
            "SELECT coalesce(event, status) FROM order_events WHERE order_id = %s ORDER BY seq",
            order_id,
        )
        return [row[0] for row in rows]

    async def last_data(self, order_id: str) -> dict[str, Any]:
        rows = await self.database.rows(
            "SELECT data FROM order_events WHERE order_id = %s ORDER BY seq DESC LIMIT 1", order_id
        )
        data: dict[str, Any] = rows[0][0]
        return data

    async def _from_tick(self, order_id: str) -> int:
        """Return from which tick on an order is looked at: never one that was made before it."""
        rows = await self.database.rows(
            "UPDATE watches SET from_tick = greatest(from_tick, %s), armed_tick = CASE"
            " WHEN armed_tick IS NOT NULL THEN greatest(armed_tick, %s) END"
            " WHERE order_id = %s RETURNING from_tick",
            *(self.second, self.second, order_id),
        )
        tick: int = rows[0][0] if rows else 0
        return tick
