"""Hypothesis plays worker, crash, clock, client and network against the real journal.

Carriers are the real execution, held before every effect (a quote, a build, a move, a send, a
lookup) until the machine gives its word; so any two of them interleave in any way. More examples
than `make test` runs: STATEFUL_EXAMPLES=1000.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg
import pytest
from django.conf import settings
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.engine.journal_sql import GIVEN_UP_AFTER
from orders.engine.moves import ClaimedOrder, Move, Overtaken
from orders.engine.submission import NotCancellable, cancel_order
from orders.lifecycle import ACTIVE, CANCELLABLE, FINAL, Status
from routing.simulation.transaction import sign_swap
from routing.venue import (
    InsufficientLiquidity,
    NetworkUnavailable,
    Quote,
    SignedTransaction,
    Swap,
    TransactionRefused,
    TransactionStatus,
    VenueUnavailable,
)
from routing.venues import Exchange
from tests.support.checker import read, violations
from tests.support.database import EXPIRE_LEASE, rewrite
from tests.support.samples import new_order
from tests.support.stubs import ScriptedNetwork, Sending
from tests.support.venue_stubs import StubVenue
from tests.support.walker import NoHints

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "30"))
STEPS = 60
MOST_OPEN_ORDERS, MOST_CARRIERS = 3, 8
ATTEMPTS = 3
WORDS_TO_SEND = 2  # from the claim until the transaction is stored
ENOUGH_WORDS = 12  # for a carrier to end
FOR_EVER = 3_600.0  # seconds: what happens, the machine makes happen
EXPIRE_HELD = f"{EXPIRE_LEASE} AND lease_until IS NOT NULL"
MAKE_DUE = "UPDATE orders SET next_check = clock_timestamp() WHERE id = %s"
Answer = TypeVar("Answer")

GO = "go"
LATE = "go, but build when told"
LOST = "the answer is lost"
WORDS: dict[str, list[Any]] = {  # what may become of each effect; the first lets the order pass
    "quote": [GO, "worse", LATE, VenueUnavailable("refuses"), InsufficientLiquidity("too much")],
    "build": [GO, VenueUnavailable("refuses")],
    "move": [GO],
    "send": [Sending.LANDS, *(one for one in Sending if one is not Sending.LANDS)],
    "look up": [GO, LOST],
}
LOST_ATTEMPTS = [("quote", VenueUnavailable("refuses")), ("send", Sending.REJECTED)]
NEEDS_A_CARRIER = ("crash", "stop", "renew", "take_over")
FAULTS = (
    *NEEDS_A_CARRIER,
    *("expire_lease", "let_retry_be_due", "cancel", "land_late", "let_blocks_pass"),
    "use_up_attempts",
)
FATES = [(effect, word) for effect, words in WORDS.items() for word in words]


class Carrier:
    """Carries one claimed order, and asks for a word before every effect."""

    def __init__(self, held: ClaimedOrder, journal: Journal, network: ScriptedNetwork) -> None:
        self.held = held
        self.asks = ""
        self.move: Move | None = None
        self._asked = asyncio.Event()
        self._asking = asyncio.Lock()  # an order may build while it is moved: one asks first
        exchange = Exchange((HeldVenue(self, network),), HeldNetwork(self, network))
        execution = Execution(HeldJournal(self, journal), exchange)  # type: ignore[arg-type]
        given_up = held.lost_leases >= GIVEN_UP_AFTER
        step = execution.give_up if given_up else execution.carry_order
        self.task = asyncio.create_task(step(held))

    def __repr__(self) -> str:
        return f"carrier of {self.held.id[-4:]} at {self.asks}"

    async def ask(self, what: str, move: Move | None = None) -> Any:
        async with self._asking:
            self.asks, self.move = what, move
            self._word = asyncio.get_running_loop().create_future()
            self._asked.set()
            return await self._word

    async def go_on(self, word: Any) -> None:
        self._asked.clear()
        self._word.set_result(word)
        await self.until_it_asks()

    async def until_it_asks(self) -> None:
        """Return when it asks for the next word, or has ended.

        :raises Exception: it ended as no carrier may.
        """
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait({asked, self.task}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if self.task.done() and not isinstance(self.task.exception(), Overtaken):
            self.task.result()

    async def die(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class HeldVenue(StubVenue):
    def __init__(self, carrier: Carrier, network: ScriptedNetwork) -> None:
        super().__init__("meteora")
        self._carrier = carrier
        self._network = network
        self._builds_late = True

    async def quote(self, swap: Swap) -> Quote:
        word = await self._carrier.ask("quote")
        if isinstance(word, Exception):
            raise word
        self._builds_late = word == LATE
        venue = StubVenue("meteora", "90" if word == "worse" else "100")
        return await venue.quote(swap)

    async def build(self, swap: Swap, legs: Any, bound: Any, *_: Any) -> SignedTransaction:
        word = await self._carrier.ask("build") if self._builds_late else GO
        if isinstance(word, Exception):
            raise word
        return sign_swap(swap, legs, bound, height=self._network.height_now, expiry_blocks=150)


class Network(ScriptedNetwork):
    """The one network of an example, which the machine may ask what became of a signature."""

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        """Do as the simulated network: tell what is known, refuse what has expired."""
        status = await super().send(transaction)
        if known := self._statuses.get(transaction.signature):
            return known
        if self.height_now > transaction.expires_at_height:
            raise TransactionRefused("the transaction has expired")
        return status

    def is_taken(self, signature: str) -> bool:
        return signature in self._statuses and self._statuses[signature] is None

    def may_land(self, signature: str, expires_at_height: int) -> bool:
        """Whether it has neither landed nor been rejected, and is not too old to be sent."""
        is_open = self._statuses.get(signature) is None
        return is_open and self.height_now <= expires_at_height


class HeldNetwork:
    def __init__(self, carrier: Carrier, network: ScriptedNetwork) -> None:
        self._carrier = carrier
        self._network = network

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        self._network.then = await self._carrier.ask("send")
        return await self._network.send(transaction)

    async def status(self, transaction: SignedTransaction) -> TransactionStatus:
        if await self._carrier.ask("look up") == LOST:
            raise NetworkUnavailable("the answer is lost, as the machine wants it")
        return await self._network.status(transaction)

    async def height(self) -> int:
        return await self._network.height()

    async def close(self) -> None:
        return


class HeldJournal:
    def __init__(self, carrier: Carrier, journal: Journal) -> None:
        self._carrier = carrier
        self._journal = journal
        self.last_data = journal.last_data

    async def advance(self, move: Move) -> Any:
        await self._carrier.ask("move", move)
        return await self._journal.advance(move)


class Workshop:
    """What all examples share: a loop, a journal, and the machine's own look at the database."""

    def __init__(self, conninfo: str) -> None:
        self._runner = asyncio.Runner()
        self.journal = self.run(make_journal(conninfo))
        self.look = psycopg.connect(conninfo, autocommit=True)

    def run(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        return self._runner.run(coroutine)

    def close(self) -> None:
        self.look.close()
        self.run(self.journal.close())
        self._runner.close()


async def make_journal(conninfo: str) -> Journal:
    return Journal(conninfo, NoHints())  # type: ignore[arg-type]


class OrdersUnderFire(RuleBasedStateMachine):
    workshop: Workshop

    def __init__(self) -> None:
        super().__init__()
        self.journal, self.run = self.workshop.journal, self.workshop.run
        self.network = Network()
        self.orders: list[str] = []
        self.carriers: list[Carrier] = []
        self.open_orders = 0
        self.tokens: dict[str, int] = {}
        self.cancelled = 0  # at most half, so that there are others to tell of

    # What happens

    @initialize(resends=st.booleans())
    def choose(self, resends: bool) -> None:
        """Have carriers send again whenever they look, or only look."""
        settings.RESEND_SECONDS = 0 if resends else FOR_EVER

    @precondition(lambda self: self.open_orders < MOST_OPEN_ORDERS)
    @rule(is_delivered=st.booleans())
    def place(self, is_delivered: bool) -> None:
        order = new_order()
        self.run(self.journal.accept(order))
        self.orders.append(order.id)
        if is_delivered:
            self._carry(self.run(self.journal.claim_named(order.id)))

    @precondition(lambda self: self.orders)
    @rule(room=st.integers(1, MOST_OPEN_ORDERS))
    def claim_what_is_due(self, room: int) -> None:
        self._carry(self.run(self.journal.claim(room, ACTIVE)))

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Name an order to a worker: it is carried if it is open and nobody holds it."""
        order_id = self._any_order(data)
        status, is_held, token = self._row(
            order_id, "status", "coalesce(lease_until > now(), false)", "lease_token"
        )
        claimed = self.run(self.journal.claim_named(order_id))
        is_free = status not in FINAL and not is_held
        assert [order.lease_token for order in claimed] == [token + 1] * is_free
        self._carry(claimed)

    @precondition(lambda self: 0 < len(self.carriers) < MOST_CARRIERS)
    @rule(data=st.data())
    def deliver_twice(self, data: st.DataObject) -> None:
        """Have a second carrier begin with the very claim of another."""
        self._carry([self._any_carrier(data).held])

    @precondition(lambda self: self.carriers)
    @rule(data=st.data(), words=st.integers(1, 7))
    def go_on(self, data: st.DataObject, words: int) -> None:
        """Let an order pass so many effects."""
        self._go_on(self._any_carrier(data), words)

    @precondition(lambda self: self.carriers)
    @rule(data=st.data(), fate=st.sampled_from(FATES))
    def go_on_to(self, data: st.DataObject, fate: tuple[str, Any]) -> None:
        """Let an order pass up to an effect, and then let this become of that."""
        self._go_on_to(self._any_carrier(data), *fate)

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), what=st.sampled_from(FAULTS))
    def befall(self, data: st.DataObject, what: str) -> None:
        """One rule for them all, so that they do not crowd out what moves orders on."""
        if what in NEEDS_A_CARRIER and not self.carriers:
            return
        getattr(self, what)(data)

    def crash(self, data: st.DataObject) -> None:
        self._drop(self._any_carrier(data))

    def stop(self, data: st.DataObject) -> None:
        """Put an order down as a worker does that is told to stop."""
        carrier = self._any_carrier(data)
        self._drop(carrier)
        (token,) = self._row(carrier.held.id, "lease_token")
        released = self.run(self.journal.release([carrier.held]))
        assert not released or token == carrier.held.lease_token

    def renew(self, data: st.DataObject) -> None:
        carrier = self._any_carrier(data)
        (token,) = self._row(carrier.held.id, "lease_token")
        renewed = self.run(self.journal.renew([carrier.held]))
        assert not renewed or token == carrier.held.lease_token

    def expire_lease(self, data: st.DataObject) -> None:
        """Let a lease run out, whether its carrier died or sleeps."""
        self.workshop.look.execute(EXPIRE_HELD, [self._any_order(data)])

    def let_retry_be_due(self, data: st.DataObject) -> None:
        self.workshop.look.execute(MAKE_DUE, [self._any_order(data)])

    def cancel(self, data: st.DataObject) -> None:
        if 2 * self.cancelled >= len(self.orders):
            return
        order_id = self._any_order(data)
        (status,) = self._row(order_id, "status")
        try:
            cancel_order(order_id)
        except NotCancellable:
            assert status not in CANCELLABLE
        else:
            assert status in CANCELLABLE | {Status.CANCELLED}
            self.cancelled += status in CANCELLABLE

    def land_late(self, data: st.DataObject) -> None:
        if waiting := self._waiting_to_land():
            self.network.land(data.draw(st.sampled_from(waiting)))

    def let_blocks_pass(self, data: st.DataObject) -> None:
        """Go on to a height at which nothing that was sent can land any more."""
        if self.network.sent:
            self.network.expire()

    def take_over(self, data: st.DataObject) -> None:
        """Give a carrier's order to another, while it sleeps and does not know."""
        self._claim_anyhow(self._any_carrier(data).held.id)

    def use_up_attempts(self, data: st.DataObject) -> None:
        """Have one attempt after the other fail in the same way; leave the next one half done."""
        order_id = self._any_order(data)
        effect, word = data.draw(st.sampled_from(LOST_ATTEMPTS))
        for _ in range(data.draw(st.integers(1, ATTEMPTS + 1))):
            for carrier in self._claim_anyhow(order_id):
                self._go_on_to(carrier, effect, word)
                self._go_on(carrier, ENOUGH_WORDS)
        for carrier in self._claim_anyhow(order_id):
            self._go_on(carrier, WORDS_TO_SEND)

    # What always holds

    @invariant()
    def every_promise_is_kept(self) -> None:
        if not self.orders:
            return
        facts = read(self.workshop.look, landed=self.network.landings.elements())
        assert violations(facts) == []
        assert set(facts) == set(self.orders)
        assert all(order.attempts <= ATTEMPTS for order in facts.values())
        self.open_orders = sum(order.status not in FINAL for order in facts.values())

    @invariant()
    def tokens_only_grow(self) -> None:
        found = dict(self._rows("SELECT id::text, lease_token FROM orders"))
        assert all(found[order_id] >= token for order_id, token in self.tokens.items())
        self.tokens = found

    @invariant()
    def what_may_land_is_all_that_its_order_waits_for(self) -> None:
        """No order goes on while a signature of it may land; none has two that may."""
        rows = self._rows(
            "SELECT status, attempts, attempt, tx.signature, expires_at_height"
            " FROM orders JOIN order_transactions AS tx ON tx.order_id = orders.id"
        )
        for status, attempts, attempt, signature, expires_at_height in rows:
            if self.network.may_land(signature, expires_at_height):
                assert (status, attempt) == (Status.SUBMITTED, attempts)

    def teardown(self) -> None:
        """Let the dust settle: what was accepted ends."""
        try:
            for carrier in list(self.carriers):
                self._drop(carrier)
            for order_id in self.orders:
                self._see_through(order_id)
            self.every_promise_is_kept()
        finally:
            rewrite(
                self.workshop.look.info.dsn, "TRUNCATE orders, order_events, order_transactions"
            )

    # How

    def _claim_anyhow(self, order_id: str) -> list[Carrier]:
        self.workshop.look.execute(EXPIRE_HELD, [order_id])
        return self._carry(self.run(self.journal.claim_named(order_id)))

    def _carry(self, claimed: list[ClaimedOrder]) -> list[Carrier]:
        started = [self.run(self._started(order)) for order in claimed]
        begun = [carrier for carrier in started if not carrier.task.done()]
        self.carriers += begun
        return begun

    async def _started(self, order: ClaimedOrder) -> Carrier:
        carrier = Carrier(order, self.journal, self.network)
        await carrier.until_it_asks()
        return carrier

    def _go_on(self, carrier: Carrier, words: int) -> None:
        for _ in range(words):
            if carrier in self.carriers:
                self._step(carrier, WORDS[carrier.asks][0])

    def _go_on_to(self, carrier: Carrier, effect: str, word: Any) -> None:
        for _ in range(ENOUGH_WORDS):
            if carrier in self.carriers and carrier.asks != effect:
                is_to_build_late = effect == "build" and carrier.asks == "quote"
                self._step(carrier, LATE if is_to_build_late else WORDS[carrier.asks][0])
        if carrier in self.carriers and carrier.asks == effect:
            self._step(carrier, word)

    def _step(self, carrier: Carrier, word: Any) -> None:
        move = carrier.move if carrier.asks == "move" else None
        before = self._row(carrier.held.id, "lease_token", "seq")
        self.run(carrier.go_on(word))
        if move is not None:
            has_moved = not (
                carrier.task.done() and isinstance(carrier.task.exception(), Overtaken)
            )
            assert has_moved == (before == (move.lease_token, move.seq))
        if carrier.task.done():
            self.carriers.remove(carrier)

    def _drop(self, carrier: Carrier) -> None:
        self.carriers.remove(carrier)
        self.run(carrier.die())

    def _see_through(self, order_id: str) -> None:
        for _ in range(ATTEMPTS + 1):
            if self._row(order_id, "status")[0] in FINAL:
                return
            for carrier in self._claim_anyhow(order_id):
                self._go_on(carrier, ENOUGH_WORDS)
        raise AssertionError(f"order {order_id} never ends")

    def _waiting_to_land(self) -> list[str]:
        sent = {one.signature: one.expires_at_height for one in self.network.sent}
        return [
            signature
            for signature, expires_at_height in sent.items()
            if self.network.is_taken(signature)
            and self.network.may_land(signature, expires_at_height)
        ]

    def _any_order(self, data: st.DataObject) -> str:
        """Return a late one; the early ones have ended."""
        return self.orders[-1 - data.draw(st.integers(0, min(3, len(self.orders) - 1)), "order")]

    def _any_carrier(self, data: st.DataObject) -> Carrier:
        return self.carriers[data.draw(st.integers(0, len(self.carriers) - 1), "carrier")]

    def _row(self, order_id: str, *columns: str) -> Any:
        (row,) = self._rows(f"SELECT {', '.join(columns)} FROM orders WHERE id = %s", order_id)
        return row

    def _rows(self, query: Any, *parameters: Any) -> list[Any]:
        return self.workshop.look.execute(query, parameters).fetchall()


@pytest.mark.usefixtures("redis_client")
def test_whatever_happens_in_any_order_every_promise_is_kept(
    database_conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RETRY_BACKOFF", "QUOTE_TIMEOUT", "LEASE_SECONDS", "RESEND_SECONDS"):
        monkeypatch.setattr(settings, name, FOR_EVER)
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0)
    workshop = Workshop(database_conninfo)
    machine = type("Machine", (OrdersUnderFire,), {"workshop": workshop})
    try:
        run_state_machine_as_test(
            machine,
            settings=hypothesis_settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        workshop.close()
