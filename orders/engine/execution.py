"""Carries one claimed order to its end: route, build and submit, settle.

Every step may run twice, even in two processes at once. The journal refuses the second of two
moves (`Overtaken`). The network's contract makes it harmless to send the same bytes again. Quotes,
decisions and transactions that were not recorded are thrown away.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Sequence
from typing import Any

from django.conf import settings

from orders import events
from orders.engine.crash_points import crash_point
from orders.engine.journal import Journal
from orders.engine.moves import ClaimedOrder, Move
from orders.events import Fact, Fault, Routed
from orders.lifecycle import Status
from orders.models import FailureCode, OrderTransaction
from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import Decision
from routing.pricing import bound_for
from routing.quoting import PriceImpactTooHigh
from routing.registry import read_again, registry
from routing.router import NoRoute, best_route
from routing.stored_decision import StoredDecision
from routing.tokens import UnknownMarket, UnknownToken
from routing.venue import (
    Absent,
    Bound,
    InsufficientLiquidity,
    Landed,
    Leg,
    NetworkUnavailable,
    Rejected,
    SignedTransaction,
    Swap,
    TransactionRefused,
    TransactionStatus,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)
from routing.venues import Exchange

logger = logging.getLogger(__name__)

Outcome = OrderTransaction.Outcome

# A venue that must quote again may find that its offer is gone. Then the next attempt decides.
NOT_BUILT = (VenueUnavailable, NetworkUnavailable, InsufficientLiquidity, UnsupportedToken)


Built = tuple[Sequence[Leg], SignedTransaction]
"""What is built: the legs of the route, and the transaction that trades them."""


class AttemptFailed(Exception):
    """Nothing was sent, and this attempt is over; another one may succeed unless it is final."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.reason)


class Execution:
    """Executes orders on one exchange, writing through one journal, in one asyncio loop."""

    def __init__(self, journal: Journal, exchange: Exchange) -> None:
        self._journal = journal
        self._network = exchange.network
        self._venues: dict[str, Venue] = {venue.name: venue for venue in exchange.venues}

    async def carry_order(self, order: ClaimedOrder) -> None:
        """Move the order on from wherever it stands, until it ends or waits for another attempt.

        The order's tokens or market may be newer than this process's copy of the registry. Then
        the copy is read anew, and the order is carried again. This is safe: they are looked up
        before anything is done.

        :raises Overtaken: somebody else moved it; it is theirs.
        :raises psycopg.Error, django.db.Error: the database stayed away; the lease will end by
            itself.
        """
        crash_point("after_claim")
        try:
            await self._carry(order)
        except (UnknownToken, UnknownMarket):
            await read_again()
            await self._carry(order)

    async def _carry(self, order: ClaimedOrder) -> None:
        swap = swap_of(order)
        building: Awaitable[Built] | None = None
        try:
            if order.status is Status.ROUTING:
                order, building = await self._route(order, swap)
            if order.status is Status.BUILDING:
                order = await self._submit(order, building or self._build_anew(order, swap))
        except AttemptFailed as failed:
            await self._end_attempt(order, failed.fault)
            return
        if order.status is Status.SUBMITTED:
            await self._settle(order, swap)

    async def give_up(self, order: ClaimedOrder) -> None:
        """End an order that took down every worker that carried it, unless it may have filled."""
        if order.status is Status.SUBMITTED:
            await self._settle(order, swap_of(order))
            return
        reason = events.workers_lost(order.lost_leases)
        await self._fail(order, Fault(FailureCode.WORKER_LOST, reason, is_final=True))

    async def _route(
        self, order: ClaimedOrder, swap: Swap
    ) -> tuple[ClaimedOrder, Awaitable[Built]]:
        """Choose a route, begin to build, and record the decision and the bound.

        A transaction that is built at once is recorded with them, in one commit. Then nothing is
        left to build.
        """
        route = await self._choose(order, swap)
        decision = route.decision
        building = asyncio.create_task(self._build(swap, decision.legs, route.bound))
        try:
            await asyncio.sleep(0)  # enough for a venue that builds at once
            if building.done() and building.exception() is None:
                order = await self._submit(order, building, route)
            else:
                order = await self._advance(order, Status.BUILDING, route, **chosen_by(route))
                crash_point("after_building")
        except BaseException:
            building.add_done_callback(_let_go)
            building.cancel()
            raise
        logger.info("order %s: %s", order.id, decision.reason)
        return order, building

    async def _choose(self, order: ClaimedOrder, swap: Swap) -> Routed:
        """Compare the venues. The bound is that of the first choice: a retry never loosens it."""
        decision = await self._decide(swap, order.constraints)
        quote = decision.quote
        bound = Bound(order.min_out, order.max_in)
        if bound == Bound():
            bound = bound_for(swap, quote, order.slippage_bps or 0)
        route = Routed(decision, bound)
        crash_point("after_quotes")
        if not bound.admits(quote.amount_in, quote.amount_out):
            reason = events.outside_bound(decision)
            logger.info("order %s: %s", order.id, reason)
            raise AttemptFailed(Fault(FailureCode.SLIPPAGE_EXCEEDED, reason, unused=route))
        return route

    async def _decide(self, swap: Swap, asked: dict[str, Any] | None) -> Decision:
        try:
            return await best_route(
                swap,
                tuple(self._venues.values()),
                quote_timeout=settings.QUOTE_TIMEOUT,
                max_deviation_bps=settings.MAX_QUOTE_DEVIATION_BPS,
                max_price_impact_bps=settings.MAX_PRICE_IMPACT_BPS,
                split_min_gain_bps=settings.SPLIT_MIN_GAIN_BPS,
                constraints=Constraints.from_json(asked) if asked else UNCONSTRAINED,
            )
        except NoRoute as found:
            code = no_route_code(found)
            is_final = code is not FailureCode.VENUES_UNAVAILABLE
            reason = str(found)
            if code is FailureCode.PRICE_IMPACT_TOO_HIGH:
                reason = events.price_impact_too_high(reason)
            raise AttemptFailed(Fault(code, reason, is_final, found.dropped)) from found

    async def _build_anew(self, order: ClaimedOrder, swap: Swap) -> Built:
        """Build for another worker's decision, which stands in the log."""
        stored = await self._journal.last_data(order.id, Status.BUILDING)
        decision = StoredDecision(stored, order.base, order.quote, order.side)
        legs = decision.route(swap, registry())
        return await self._build(swap, legs, Bound(order.min_out, order.max_in))

    async def _build(self, swap: Swap, legs: Sequence[Leg], bound: Bound) -> Built:
        """Sign a transaction. Venues that share an amount build all its legs: one of them does."""
        try:
            transaction = await self._venues[legs[0].venue].build(swap, legs, bound)
        except NOT_BUILT as fault:
            raise AttemptFailed(Fault(FailureCode.VENUES_UNAVAILABLE, str(fault))) from fault
        return legs, transaction

    async def _submit(
        self, order: ClaimedOrder, building: Awaitable[Built], route: Routed | None = None
    ) -> ClaimedOrder:
        """Store the transaction, and the route if it is not yet; it is sent only after that."""
        chosen = chosen_by(route) if route else {}
        legs, transaction = await building
        crash_point("after_build")
        submitted = await self._advance(
            order,
            Status.SUBMITTED,
            events.Built(legs, chosen.get("venue", order.venue), transaction.signature),
            route,
            **chosen,
            signature=transaction.signature,
            payload=transaction.payload,
            expires_at_height=transaction.expires_at_height,
        )
        crash_point("after_submitted")
        return submitted

    async def _settle(self, order: ClaimedOrder, swap: Swap) -> None:
        """Find out what became of the transaction. Until it is known, send the same bytes again."""
        transaction = transaction_of(order)
        status = await self._send(transaction)
        crash_point("after_send")
        clock = asyncio.get_running_loop().time
        sent_at = clock()
        while True:
            match status:
                case Landed():
                    crash_point("after_fill_seen")
                    await self._confirm(order, swap, status)
                    return
                case Rejected(code, reason, network_fee):
                    fault = Fault(failure_code(code), reason, network_fee=network_fee)
                    await self._end_attempt(order, fault, Outcome.REJECTED)
                    return
                case Absent(height) if height > transaction.expires_at_height:
                    reason = events.expired(transaction.expires_at_height, height)
                    fault = Fault(FailureCode.NEVER_LANDED, reason)
                    await self._end_attempt(order, fault, Outcome.EXPIRED)
                    return
            await asyncio.sleep(settings.STATUS_POLL_SECONDS)
            if clock() - sent_at >= settings.RESEND_SECONDS:
                status, sent_at = await self._send(transaction), clock()
            else:
                status = await self._look_up(transaction)

    async def _send(self, transaction: SignedTransaction) -> TransactionStatus | None:
        try:
            return await self._network.send(transaction)
        except TransactionRefused:
            return await self._look_up(transaction)  # an earlier send may have been taken
        except NetworkUnavailable as error:
            logger.info("send of %s: %s", transaction.signature, error)
            return None

    async def _look_up(self, transaction: SignedTransaction) -> TransactionStatus | None:
        try:
            return await self._network.status(transaction.signature)
        except NetworkUnavailable as error:
            logger.info("status of %s: %s", transaction.signature, error)
            return None

    async def _confirm(self, order: ClaimedOrder, swap: Swap, fill: Landed) -> None:
        bound = Bound(order.min_out, order.max_in)
        is_within = bound.admits(fill.amount_in, fill.amount_out)
        if not is_within:
            # The fill has happened and cannot be undone: report it loudly, do not deny it.
            logger.error("order %s: filled outside its bound (%s, %s)", order.id, bound, fill)
        await self._advance(
            order,
            Status.CONFIRMED,
            events.Filled(swap, order.venue, order.signature, fill, is_within),
            outcome=Outcome.LANDED,
            filled_in=fill.amount_in,
            filled_out=fill.amount_out,
            needs_attention=not is_within,
        )
        crash_point("after_confirmed")

    async def _end_attempt(
        self, order: ClaimedOrder, fault: Fault, proof: Outcome | None = None
    ) -> None:
        """Send the order back for another attempt, or fail it after the last.

        `proof` tells how the transaction of a submitted order is known to be dead.
        """
        crash_point("after_fault")
        if proof is not None:
            fault = fault._replace(signature=order.signature, proof=proof)
        if fault.is_final or order.attempts >= settings.ORDER_ATTEMPTS:
            await self._fail(order, fault)
            return
        delay = backoff(order.attempts)
        fact = events.SentBack(fault, order.attempts, settings.ORDER_ATTEMPTS, delay)
        await self._advance(order, Status.PENDING, fact, delay=delay, outcome=fault.proof)
        crash_point("after_attempt")

    async def _fail(self, order: ClaimedOrder, fault: Fault) -> None:
        await self._advance(
            order,
            Status.FAILED,
            events.Failed(fault),
            outcome=fault.proof,
            failure_code=fault.code,
            failure_reason=fault.reason,
        )
        logger.warning("order %s failed: %s: %s", order.id, fault.code, fault.reason)

    async def _advance(
        self,
        order: ClaimedOrder,
        status: Status,
        fact: Fact,
        passed: Fact | None = None,
        **columns: Any,
    ) -> ClaimedOrder:
        """Move the order to `status` because of this fact, and return it as it stands then.

        `passed` tells of the status between, if one commit makes two moves.
        """
        identity = order.id, order.lease_token, order.seq, order.status
        between = passed.words() if passed else None
        move = Move(*identity, status, *fact.words(), **columns, passed=between)
        event = await self._journal.advance(move)
        known = {name: value for name, value in columns.items() if name in order._fields}
        return order._replace(status=status, seq=event.seq, **known)


def _let_go(building: "asyncio.Task[Built]") -> None:
    """Take note of how it ended: nobody waits for it any more."""
    if not building.cancelled():
        building.exception()


def chosen_by(route: Routed) -> dict[str, Any]:
    """Return what an order stores of its route, beside the decision in its log."""
    bound = route.bound
    return {
        "venue": route.decision.quote.venue,
        "min_out": bound.min_out,
        "max_in": bound.max_in,
    }


def swap_of(order: ClaimedOrder) -> Swap:
    """:raises LookupError: what it trades is not in this process's copy of the registry."""
    known = registry()
    market = known.market_of_order(known.token(order.base), known.token(order.quote))
    return Swap(market, order.side, order.amount_in, order.amount_out)


def backoff(attempts: int) -> float:
    """Return the seconds to wait after this many attempts: doubled each time, +- 20 %."""
    return float(settings.RETRY_BACKOFF * 2 ** (attempts - 1) * random.uniform(0.8, 1.2))


def transaction_of(order: ClaimedOrder) -> SignedTransaction:
    """Return the stored transaction of an order in `submitted`."""
    if order.signature is None or order.payload is None or order.expires_at_height is None:
        raise LookupError(f"order {order.id} is submitted and has no transaction")
    return SignedTransaction(order.signature, order.payload, order.expires_at_height)


def no_route_code(found: NoRoute) -> FailureCode:
    """Return our code for why there is no route; all but `venues_unavailable` are final."""
    if isinstance(found, PriceImpactTooHigh):
        return FailureCode.PRICE_IMPACT_TOO_HIGH
    if isinstance(found, InsufficientLiquidity):
        return FailureCode.INSUFFICIENT_LIQUIDITY
    if isinstance(found, UnsupportedToken):
        return FailureCode.UNSUPPORTED_TOKEN
    return FailureCode.VENUES_UNAVAILABLE


def failure_code(code: str) -> FailureCode:
    """Return our code for a network's reason to reject a transaction."""
    if code == FailureCode.SLIPPAGE_EXCEEDED:
        return FailureCode.SLIPPAGE_EXCEEDED
    return FailureCode.NETWORK_REJECTED
