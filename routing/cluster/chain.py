"""The chain: slots that advance, blockhashes that expire, transactions that wait, land and settle.

A transaction that is taken lands in the next slot, if its blockhash is at most `EXPIRY_BLOCKS` old
by then. Else it never lands, and its sender is not told. A block is `processed` at once, and final
`FINALITY_SLOTS` later; until then it may be taken back (`reorganise`). Slots and heights differ, as
they do on every real cluster: a slot that was taken back has no height.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from routing.base58 import base58
from routing.cluster.machine import Machine
from routing.cluster.messages import NotLoaded, compute_price
from routing.cluster.records import balances, meta_of
from routing.cluster.store import NEXT_SLOT, Block, Landed, Store
from routing.solana.addresses import CLOCK

log = logging.getLogger(__name__)

FIRST_SLOT, FIRST_HEIGHT = 1_000, 900
"""Unlike each other, so that code which takes one for the other is found out."""
EXPIRY_BLOCKS = 150
FINALITY_SLOTS = 1
FINAL = "final"
"""The name under which the latest final slot is stored."""
KEPT_BLOCKS = EXPIRY_BLOCKS + 64
"""For nodes that are behind, too."""


class Told(NamedTuple):
    """What happened in a slot, for those who follow the chain."""

    block: Block
    landed: tuple[Landed, ...]
    accounts: frozenset[Pubkey]
    """Those that may have changed."""


class _Waiting(NamedTuple):
    transaction: VersionedTransaction
    earliest: int
    """The first slot in which it may land."""


Listener = Callable[[Told], None]


class Chain:
    """For one thread. `now` returns the unix time in seconds."""

    def __init__(self, machine: Machine, store: Store, now: Callable[[], float]) -> None:
        """Go on with the stored chain."""
        self.machine = machine
        self.store = store
        self._now = now
        self._blocks = {block.slot: block for block in store.blocks(KEPT_BLOCKS)}
        self._hashes = {block.blockhash: block for block in self._blocks.values()}
        self._waiting: dict[str, _Waiting] = {}
        self._fees: dict[int, list[tuple[int, frozenset[Pubkey]]]] = {}
        self._listeners: list[Listener] = []
        self.slot = max(self._blocks)
        """The latest slot that has a block."""
        self._next = max(self.slot + 1, int(store.fact(NEXT_SLOT) or 0))
        self.first_slot = self.slot
        """From here on it is known what accounts were."""
        self._final = int(store.fact(FINAL) or self.slot)
        for address, account in store.accounts():
            machine.accounts.put(address, account)
        for wire, earliest in store.waiting():
            self._wait(VersionedTransaction.from_bytes(wire), earliest)
        self._begin()

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def block(self, slot: int) -> Block:
        """Return the latest block up to `slot`, or the oldest that is known."""
        return self._blocks[max((one for one in self._blocks if one <= slot), default=self._oldest)]

    def earlier(self, block: Block, count: int) -> Block:
        """Return the block so many blocks before this one, or the oldest that is known."""
        slots = sorted(slot for slot in self._blocks if slot <= block.slot)
        return self._blocks[slots[max(len(slots) - 1 - count, 0)]]

    def final(self, block: Block) -> Block:
        """Return the latest block that is final for a node whose latest block is `block`."""
        if block.slot == self._final:  # what came after it was taken back
            return block
        return self.earlier(block, FINALITY_SLOTS)

    def height_of(self, blockhash: str) -> int | None:
        """Return the height of the block with this hash; None if it is unknown or very old."""
        block = self._hashes.get(blockhash)
        return block.height if block else None

    def is_valid(self, blockhash: str, block: Block) -> bool:
        """Whether a transaction with this blockhash may land right after `block`."""
        height = self.height_of(blockhash)
        return height is not None and height <= block.height <= height + EXPIRY_BLOCKS - 1

    def take(self, transaction: VersionedTransaction, late_by: int = 0) -> None:
        """Have a transaction land in the next slot, or so many slots later.

        One that has landed is not taken again. One that waits may land earlier by this.
        """
        signature, earliest = str(transaction.signatures[0]), self._next + late_by
        waiting = self._waiting.get(signature)
        if waiting and waiting.earliest <= earliest:
            return
        if self.store.transaction(signature) is None:
            self.store.put_waiting(signature, bytes(transaction), earliest)
            self._wait(transaction, earliest)

    def fees_paid(self, accounts: set[Pubkey], slots: int) -> Iterator[tuple[int, int]]:
        """Yield for each of the latest slots the least price of a compute unit that was paid.

        It is in millionths of a lamport, of the transactions that write all these accounts.
        """
        for slot in sorted(slot for slot in self._blocks if slot > self.slot - slots):
            paid = [price for price, keys in self._fees.get(slot, []) if accounts <= keys]
            yield slot, min(paid, default=0)

    def advance(self) -> None:
        """Make the next slot's block, with all that waits."""
        now = int(self._now())
        self.machine.set_clock(self._next, now)
        landed = tuple(self._land(self._next))
        block = Block(self._next, self.block(self.slot).height + 1, self._new_hash(), now)
        accounts = dict(self.machine.accounts.changed(self._next))
        accounts.pop(CLOCK, None)
        done = [name for name, one in self._waiting.items() if one.earliest <= block.slot]
        self._add(block)
        self._final = max(self._final, self.earlier(block, FINALITY_SLOTS).slot)
        self.store.add_block(block, landed, accounts, done, {FINAL: str(self._final)})
        for signature in done:
            del self._waiting[signature]
        self._begin()
        self._tell(Told(block, landed, frozenset(accounts)))

    def reorganise(self, *, lands_again: bool) -> list[str]:
        """Take the latest block back, as a cluster does that chose another fork.

        Its transactions wait for the next slot again, or are lost. A block that is final stays:
        then nothing happens. Return the signatures.
        """
        slot, accounts = self.slot, self.machine.accounts
        if slot <= max(self.first_slot, self._final):
            return []
        accounts.undo(self._next)  # nothing landed in it yet
        before = dict(accounts.undo(slot))
        before.pop(CLOCK, None)
        wires = self.store.remove_block(slot, before, lands_again)
        gone = self._blocks.pop(slot)
        del self._hashes[gone.blockhash]
        self._fees.pop(slot, None)
        self.slot = self.block(slot).slot
        self._begin()
        transactions = [VersionedTransaction.from_bytes(wire) for wire in wires]
        if lands_again:
            for transaction in transactions:
                self._wait(transaction, self._next)
        return [str(one.signatures[0]) for one in transactions]

    @property
    def _oldest(self) -> int:
        return min(self._blocks)

    def _wait(self, transaction: VersionedTransaction, earliest: int) -> None:
        self._waiting[str(transaction.signatures[0])] = _Waiting(transaction, earliest)

    def _begin(self) -> None:
        """Open the slot after the latest one, at the present time."""
        accounts = self.machine.accounts
        accounts.begin(self._next)
        accounts.keep(self._next, [CLOCK])
        self.machine.set_clock(self._next, int(self._now()))
        self.machine.set_slot_hashes([(one.slot, one.blockhash) for one in self._latest(32)])

    def _latest(self, count: int) -> list[Block]:
        return [self._blocks[slot] for slot in sorted(self._blocks, reverse=True)[:count]]

    def _land(self, slot: int) -> Iterator[Landed]:
        latest = self._blocks[self.slot]
        for signature, (transaction, earliest) in self._waiting.items():
            blockhash = str(transaction.message.recent_blockhash)
            if earliest > slot or not self.is_valid(blockhash, latest):
                continue
            try:
                landed = self._execute(signature, transaction, slot)
            except Exception:  # a fault of ours, which must not end the chain for all others
                log.exception("The cluster cannot execute %s", signature)
                continue
            if landed:
                yield landed

    def _execute(
        self, signature: str, transaction: VersionedTransaction, slot: int
    ) -> Landed | None:
        """Return the transaction with what it did; None if no block can hold it."""
        accounts = self.machine.accounts
        try:
            loaded = self.machine.load(transaction)
        except NotLoaded:
            return None
        before = balances(loaded, accounts.get)
        accounts.keep(slot, loaded.writable_keys)
        execution = self.machine.execute(transaction, loaded)
        if not execution.entered:
            return None
        meta = meta_of(loaded, execution, before, balances(loaded, accounts.get))
        paid = compute_price(loaded), frozenset(loaded.writable_keys)
        self._fees.setdefault(slot, []).append(paid)
        return Landed(signature, slot, execution.error, bytes(transaction), meta, loaded.keys)

    def _add(self, block: Block) -> None:
        self._blocks[block.slot] = block
        self._hashes[block.blockhash] = block
        self.slot, self._next = block.slot, block.slot + 1
        if len(self._blocks) > KEPT_BLOCKS:
            oldest = self._blocks.pop(self._oldest)
            del self._hashes[oldest.blockhash]
            self._fees.pop(oldest.slot, None)

    def _new_hash(self) -> str:
        return base58(hashlib.sha256(os.urandom(32)).digest())

    def _tell(self, told: Told) -> None:
        for listener in self._listeners:
            listener(told)
