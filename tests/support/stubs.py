"""A hand-written network whose every answer a test decides, and exchanges made of stubs."""

from collections import Counter, deque
from collections.abc import Sequence
from enum import Enum

from routing.simulation.transaction import read_instruction, sign_swap
from routing.venue import (
    Absent,
    Bound,
    Landed,
    Leg,
    NetworkUnavailable,
    Rejected,
    SignedTransaction,
    Swap,
    TransactionRefused,
    TransactionStatus,
    Venue,
)
from routing.venues import Exchange
from tests.support.venue_stubs import StubVenue

HEIGHT = 1000


class Sending(Enum):
    """What becomes of one send."""

    TAKEN = "recorded, lands when the test says so"
    LANDS = "recorded, landed when looked up next"
    DROPPED = "not recorded, though the answer says taken"
    REPLY_LOST = "recorded, landed, and the answer is lost"
    UNREACHABLE = "not recorded, and no answer"
    REFUSED = "not recorded, and it says so"
    REJECTED = "landed with an error: the bound was broken"


class ScriptedNetwork:
    """Keeps the promises of `routing.venue.Network`, one transaction at a time."""

    def __init__(self, *script: Sending, then: Sending = Sending.TAKEN) -> None:
        self._script = deque(script)
        self.then = then
        self._statuses: dict[str, Landed | Rejected | None] = {}
        self.height_now = HEIGHT
        self.sent: list[SignedTransaction] = []
        self.lookups: list[str] = []
        self.landings: Counter[str] = Counter()

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        self.sent.append(transaction)
        sending = self._script.popleft() if self._script else self.then
        if sending is Sending.REFUSED:
            raise TransactionRefused("refused, as the test wants it")
        if sending is Sending.UNREACHABLE:
            raise NetworkUnavailable("unreachable, as the test wants it")
        if sending is not Sending.DROPPED and self.height_now <= transaction.expires_at_height:
            self._take(transaction, sending)
        if sending is Sending.REPLY_LOST:
            raise NetworkUnavailable("the answer is lost, as the test wants it")
        return Absent(min(self.height_now, transaction.expires_at_height))

    async def status(self, transaction: SignedTransaction) -> TransactionStatus:
        self.lookups.append(transaction.signature)
        return self._statuses.get(transaction.signature) or Absent(self.height_now)

    async def height(self) -> int:
        return self.height_now

    async def close(self) -> None:
        return

    def land(self, signature: str, amount_out: int = 149_000_000) -> None:
        """Let a taken transaction land with this fill."""
        self._fill(signature, Landed(1_500_000_000, amount_out))

    def expire(self) -> None:
        """Go on to a height at which nothing that was sent so far can land any more."""
        self.height_now = max(one.expires_at_height for one in self.sent) + 1

    def _take(self, transaction: SignedTransaction, sending: Sending) -> None:
        if self._statuses.setdefault(transaction.signature, None) is not None:
            return  # a signature lands once
        if sending is Sending.REJECTED:
            broken = Rejected("slippage_exceeded", "rejected, as the test wants it")
            self._statuses[transaction.signature] = broken
        elif sending in (Sending.LANDS, Sending.REPLY_LOST):
            wish = read_instruction(transaction)
            self._fill(transaction.signature, Landed(wish.amount_in, wish.amount_out))

    def _fill(self, signature: str, fill: Landed) -> None:
        self.landings[signature] += 1
        self._statuses[signature] = fill


class VenueOn(StubVenue):
    """Builds at the present height of its network."""

    def __init__(self, network: ScriptedNetwork, name: str = "raydium") -> None:
        super().__init__(name)
        self._network = network

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        return sign_swap(swap, legs, bound, height=self._network.height_now, expiry_blocks=150)


def exchange_of(network: ScriptedNetwork, venues: Sequence[Venue] = ()) -> Exchange:
    """Two venues that quote, unless others are given, on this network."""
    return Exchange(tuple(venues) or (StubVenue("raydium"), StubVenue("meteora")), network)
