"""Carries one claimed order to its end: route, build and submit, settle.

Every step may run twice, even in two processes at once. The journal refuses the second of two
moves (`Overtaken`). The network's contract makes it harmless to send the same bytes again. Quotes,
decisions and transactions that were not recorded are thrown away.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings

from config.runtime.counters import counts
from orders import events
from orders.engine.crash_points import crash_point
from orders.engine.journal import Journal
from orders.engine.moves import ClaimedOrder, Diverted, Move, NewOrder, Rest, Rules, TermsMove
from orders.engine.routes import refuse_stopped, route_of
from orders.engine.submission import new_order_id
from orders.engine.terms_moves import RETURNED
from orders.events import Fact, Fault, Routed
from orders.lifecycle import Status
from orders.models import FailureCode, OrderTransaction
from orders.representation import request_as_json
from orders.terms.bracket import BracketOrder, exits_of
from orders.terms.exits import STOP, TARGET
from orders.terms.watch import CLOCK, POOL, watch_of_rest
from orders.words import EndReason, Phase, TimeInForce
from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import Decision
from routing.pricing import bound_for
from routing.quoting import PriceImpactTooHigh
from routing.registry import is_read, read_again, registry
from routing.router import NoRoute
from routing.stored_decision import StoredDecision
from routing.tokens import UnknownMarket, UnknownToken
from routing.venue import (
    BPS,
    Absent,
    Bound,
    InsufficientFunds,
    InsufficientLiquidity,
    Landed,
    Leg,
    NetworkUnavailable,
    Rejected,
    Side,
    SignedTransaction,
    SlippageExceeded,
    Swap,
    TransactionRefused,
    TransactionStatus,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
    WalletRefused,
)
from routing.venues import Exchange

logger = logging.getLogger(__name__)

Outcome = OrderTransaction.Outcome

INCURABLE = frozenset(
    {
        FailureCode.UNSUPPORTED_TOKEN,
        FailureCode.INSUFFICIENT_FUNDS,
        FailureCode.WORKER_LOST,
    }
)
"""What time cannot heal: it ends orders that could rest, too."""
MOST_REST_SECONDS = 30.0  # between two releases of an order that was triggered

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
        self._references = exchange.held_to
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
        if order.rules is not None and order.rules.is_over and order.status is not Status.SUBMITTED:
            await self._expire(order, end_in_time(order.rules))
            return
        if not is_read():  # a process that has just started knows no added market and no live pool
            await read_again()
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
        attempt = attempt_of_release(order)
        building = asyncio.create_task(self._build(swap, decision.legs, route.bound, attempt))
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
        """Compare the venues.

        The bound is that of a limit price, or of the release's first choice: a retry never loosens
        it.
        """
        decision = await self._decide(swap, order)
        quote = decision.quote
        bound = Bound(order.min_out, order.max_in)
        if bound == Bound():
            bound = bound_for(swap, quote, order.slippage_bps or 0)
        route = Routed(decision, bound)
        crash_point("after_quotes")
        if not bound.admits(quote.amount_in, quote.amount_out):
            has_limit = order.rules is not None and order.rules.limit_price is not None
            reason = events.outside_bound(decision, is_limit=has_limit)
            logger.info("order %s: %s", order.id, reason)
            raise AttemptFailed(Fault(FailureCode.SLIPPAGE_EXCEEDED, reason, unused=route))
        return route

    async def _decide(self, swap: Swap, order: ClaimedOrder) -> Decision:
        try:
            venues = tuple(self._venues.values())
            return await route_of(swap, venues, constraints_of(order), self._references)
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
        bound = Bound(order.min_out, order.max_in)
        return await self._build(swap, legs, bound, attempt_of_release(order))

    async def _build(self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int) -> Built:
        """Sign a transaction. Venues that share an amount build all its legs: one of them does.

        :raises AttemptFailed: there is none, whatever the reason.
        """
        try:
            refuse_stopped(legs)
            transaction = await self._venues[legs[0].venue].build(swap, legs, bound, attempt)
        except Exception as fault:
            raise AttemptFailed(not_built(fault, attempt)) from fault
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
            events.Built(
                legs, chosen.get("venue", order.venue), transaction.signature, transaction.costs
            ),
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
                    found = failure_code(code)
                    is_final = found in INCURABLE
                    fault = Fault(found, reason, is_final, network_fee=network_fee)
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
            return await self._network.status(transaction)
        except NetworkUnavailable as error:
            logger.info("status of %s: %s", transaction.signature, error)
            return None

    async def _confirm(self, order: ClaimedOrder, swap: Swap, fill: Landed) -> None:
        bound = Bound(order.min_out, order.max_in)
        is_within = bound.admits(fill.amount_in, fill.amount_out)
        if not is_within:
            # The fill has happened and cannot be undone: report it loudly, do not deny it.
            logger.error("order %s: filled outside its bound (%s, %s)", order.id, bound, fill)
        children, refused = exits_of_entry(order, swap, fill)
        ids = [child.id for child in children]
        await self._advance(
            order,
            Status.CONFIRMED,
            events.Filled(swap, order.venue, order.signature, fill, is_within, ids, refused),
            brings=TermsMove(exits=tuple(children)),
            outcome=Outcome.LANDED,
            filled_in=fill.amount_in,
            filled_out=fill.amount_out,
            needs_attention=not is_within,
        )
        crash_point("after_confirmed")

    async def _end_attempt(
        self, order: ClaimedOrder, fault: Fault, proof: Outcome | None = None
    ) -> None:
        """Send the order back for another attempt, or end its release after the last.

        `proof` tells how the transaction of a submitted order is known to be dead.
        """
        crash_point("after_fault")
        if proof is not None:
            fault = fault._replace(signature=order.signature, proof=proof)
        most = attempts_allowed(order)
        if fault.is_final or order.attempts >= most:
            await self._end_release(order, fault)
            return
        delay = backoff(attempt_of_release(order))
        fact = events.SentBack(fault, order.attempts, most, delay)
        await self._advance(order, Status.PENDING, fact, delay=delay, outcome=fault.proof)
        crash_point("after_attempt")

    async def _end_release(self, order: ClaimedOrder, fault: Fault) -> None:
        """Fail the order, or have it wait for a better moment."""
        rules = order.rules
        if rules is None or rules.is_market or fault.code in INCURABLE:
            await self._fail(order, fault)
        elif rules.is_immediate and order.status is not Status.SUBMITTED:
            await self._expire(order, EndReason.NOT_MARKETABLE, fault)
        else:
            rest = rest_of(order, rules)
            brings = TermsMove(event=RETURNED, phase=rest.phase, rest=rest)
            fact = events.Returned(fault)
            await self._advance(order, Status.OPEN, fact, brings=brings, outcome=fault.proof)
            crash_point("after_attempt")
            counts[f"orders_returned:{fault.code}"] += 1
            logger.info("order %s rests again: %s: %s", order.id, fault.code, fault.reason)

    async def _expire(
        self, order: ClaimedOrder, reason: EndReason, fault: Fault | None = None
    ) -> None:
        brings = TermsMove(reason=reason.value)
        await self._advance(
            order, Status.EXPIRED, events.Expired(reason.value, fault), brings=brings
        )
        logger.info("order %s expired: %s", order.id, reason)

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
        brings: TermsMove | None = None,
        **columns: Any,
    ) -> ClaimedOrder:
        """Move the order to `status` because of this fact, and return it as it stands then.

        `passed` tells of the status between, if one commit makes two moves. `brings` is what an
        order with terms brings along.

        :raises Diverted: its time is over, or it was to be cancelled: it has ended.
        """
        identity = order.id, order.lease_token, order.seq, order.status
        between = passed.words() if passed else None
        with_terms = brought(order, status, brings)
        move = Move(
            *identity, status, *fact.words(), **columns, passed=between, with_terms=with_terms
        )
        event = await self._journal.advance(move)
        if event.status is not status:
            raise Diverted(f"order {order.id} is {event.status} instead of {status}")
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


def brought(order: ClaimedOrder, status: Status, brings: TermsMove | None) -> TermsMove | None:
    """Return what a move brings along; None: it is a plain market order's, on its own way.

    That a submitted order goes back is rare. Whether it was to be cancelled is asked of all.
    """
    if order.rules is not None:
        return (brings or TermsMove())._replace(group_id=order.rules.group_id)
    goes_back = order.status is Status.SUBMITTED and status is Status.PENDING
    return TermsMove() if goes_back else None


def end_in_time(rules: Rules) -> EndReason:
    """Return why an order expires that was not submitted in time."""
    return EndReason.GTD if rules.time_in_force == TimeInForce.GTD else EndReason.QUEUE_DEADLINE


def rest_of(order: ClaimedOrder, rules: Rules) -> Rest:
    """Return how the order rests after a release without a fill, and on which pair's prices.

    :raises LookupError: as `swap_of`.
    """
    return _rest(order, rules)._replace(pair=swap_of(order).market.pair)


def _rest(order: ClaimedOrder, rules: Rules) -> Rest:
    """Return how the order rests.

    With a limit price it watches its price again. Without one it was triggered, and stays so: it is
    released again by itself, after a while that doubles.
    """
    watch = watch_of_rest(rules.type, order.side, rules.limit_price, rules.trigger_by)
    if rules.is_immediate:
        return Rest(watch._replace(kind=CLOCK), Phase.WAITING.value, is_over=True)
    if rules.limit_price is None:
        return Rest(watch, Phase.LATCHED.value, seconds_to_rest(rules.releases))
    if watch.kind == POOL:  # it would be released again at once by the same pool
        return Rest(watch, Phase.WAITING.value, seconds_to_rest(rules.releases))
    was_triggered = rules.trigger_price is not None
    return Rest(watch, (Phase.LIMIT if was_triggered else Phase.WAITING).value)


def seconds_to_rest(releases: int) -> float:
    """Return for how long an order rests that nothing else wakes: doubled with each release."""
    return min(2.0 ** (max(releases, 1) - 1), MOST_REST_SECONDS)


def attempts_allowed(order: ClaimedOrder) -> int:
    """Return how many attempts the order may have had when its release ends."""
    allowed = order.rules.attempts_allowed if order.rules else None
    return int(settings.ORDER_ATTEMPTS if allowed is None else allowed)


def attempt_of_release(order: ClaimedOrder) -> int:
    """Return which attempt of its present release this is."""
    before = attempts_allowed(order) - int(settings.ORDER_ATTEMPTS)
    return max(order.attempts - max(before, 0), 1)


def constraints_of(order: ClaimedOrder) -> Constraints:
    """Return what the order asks of its route.

    Our limit of price impact is not for orders that are for getting out.
    """
    asked = Constraints.from_json(order.constraints) if order.constraints else UNCONSTRAINED
    is_protective = order.rules is not None and order.rules.is_protective
    if is_protective and asked.max_price_impact_bps is None:
        return replace(asked, max_price_impact_bps=BPS)
    return asked


def exits_of_entry(
    order: ClaimedOrder, swap: Swap, fill: Landed
) -> tuple[list[NewOrder], list[dict[str, str]]]:
    """Return the orders that come into being with this fill, and the exits that do not."""
    rules = order.rules
    if rules is None or not rules.more.keys() & {TARGET, STOP}:
        return [], []
    side = Side.BUY if order.side is Side.SELL else Side.SELL
    exits, refused = exits_of(rules.more, swap.market, side, fill.amount_out)
    group_id = new_order_id() if len(exits) > 1 else None
    pair = swap.market.pair
    return [_as_order(one, order, rules, group_id, pair) for one in exits], refused


def _as_order(
    found: BracketOrder, entry: ClaimedOrder, rules: Rules, group_id: str | None, pair: str
) -> NewOrder:
    order = NewOrder(
        id=new_order_id(),
        type=found.type,
        side=found.side.value,
        base=entry.base,
        quote=entry.quote,
        amount_in=found.amount_in,
        amount_out=None,
        slippage_bps=found.slippage_bps,
        message=events.RESTS,
        data={},
        owner=rules.owner,
        client_order_id=found.client_order_id,
        stranger=rules.sender,
        terms=found.terms._replace(group_id=group_id, parent_id=entry.id),
        watch=found.watch,
        pair=pair,
    )
    return order._replace(data={"order": request_as_json(order)})


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


def not_built(fault: Exception, attempt: int) -> Fault:
    """Return what a venue's failure to build means: nothing was sent.

    What no venue should raise is a fault of ours. Its traceback is logged at the first attempt.
    """
    if isinstance(fault, InsufficientFunds):
        return Fault(FailureCode.INSUFFICIENT_FUNDS, str(fault), is_final=True)
    if isinstance(fault, WalletRefused):
        logger.error("the wallet refused to sign: %s", fault)
        return Fault(FailureCode.WALLET_REFUSED, str(fault), is_final=True)
    if isinstance(fault, SlippageExceeded):
        return Fault(FailureCode.SLIPPAGE_EXCEEDED, str(fault))
    if isinstance(fault, NOT_BUILT):
        return Fault(FailureCode.VENUES_UNAVAILABLE, str(fault))
    is_news = attempt <= 1
    logger.error("a transaction was not built: %r", fault, exc_info=fault if is_news else None)
    return Fault(FailureCode.INTERNAL_ERROR, events.not_built(type(fault).__name__))


def failure_code(code: str) -> FailureCode:
    """Return our code for a network's reason to reject a transaction."""
    if code in (FailureCode.SLIPPAGE_EXCEEDED, FailureCode.INSUFFICIENT_FUNDS):
        return FailureCode(code)
    return FailureCode.NETWORK_REJECTED
