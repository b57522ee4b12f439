"""One node: what it knows of the chain, with its faults."""

from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from routing.cluster.bank import Bank
from routing.cluster.chain import Chain
from routing.cluster.rpc.errors import CONTEXT_SLOT_NOT_REACHED, RpcError
from routing.cluster.rpc.faults import Faults
from routing.cluster.rpc.parameters import CONFIRMED, PROCESSED, Options
from routing.cluster.store import Block, Landed

VERSION = "4.4.0"
"""The release of Agave whose answers these are like."""


class Node:
    """A node of the cluster. Many may share one chain."""

    def __init__(self, chain: Chain, bank: Bank, faults: Faults) -> None:
        self.chain = chain
        self.bank = bank
        self.faults = faults

    @property
    def latest(self) -> Block:
        """The latest block that this node has."""
        return self.chain.block(self.chain.slot - self.faults.slots_behind)

    def block(self, commitment: str) -> Block:
        """Return the latest block of this commitment. `confirmed` is the same as `finalized`."""
        return self.latest if commitment == PROCESSED else self.chain.final(self.latest)

    def block_for(self, options: Options) -> Block:
        """Return the block that a request reads.

        :raises RpcError: it is earlier than the request's `minContextSlot`.
        """
        block = self.block(options.commitment())
        least = options.number("minContextSlot")
        if least is not None and block.slot < least:
            message = "Minimum context slot has not been reached"
            raise RpcError(CONTEXT_SLOT_NOT_REACHED, message, {"contextSlot": block.slot})
        return block

    def account(self, address: Pubkey, block: Block) -> Account | None:
        return self.chain.machine.accounts.at(address, block.slot)

    def landed(self, signature: str) -> Landed | None:
        """Return a transaction that landed, as far as this node has come."""
        landed = self.chain.store.transaction(signature)
        if landed is None or not self.first_slot <= landed.slot <= self.latest.slot:
            return None
        return landed

    @property
    def first_slot(self) -> int:
        """The first slot that this node's history has: 0, since nothing was before the genesis."""
        kept = self.faults.slots_kept
        return 0 if kept is None else max(self.latest.slot - kept, 0)

    def confirmation(self, slot: int) -> str:
        """Return how sure a block is. A final one is never only `confirmed`."""
        return "finalized" if slot <= self.block(CONFIRMED).slot else PROCESSED


def with_context(block: Block, value: Any) -> dict[str, Any]:
    return {"context": {"slot": block.slot, "apiVersion": VERSION}, "value": value}
