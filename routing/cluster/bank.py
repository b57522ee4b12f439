"""Signs the cluster's own transactions: airdrops, and the trader's swaps."""

import os
from collections.abc import Sequence

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from routing.cluster.chain import Chain
from routing.solana.programs.memo import memo
from routing.solana.programs.system import transfer


def send(
    chain: Chain, signer: Keypair, instructions: Sequence[Instruction]
) -> VersionedTransaction:
    """Have a transaction land in the next slot, which is unlike any other."""
    # Two equal messages on one blockhash would be one transaction.
    unique = [*instructions, memo(os.urandom(8).hex())]
    blockhash = Hash.from_string(chain.block(chain.slot).blockhash)
    message = MessageV0.try_compile(signer.pubkey(), unique, [], blockhash)
    transaction = VersionedTransaction(message, [signer])
    chain.take(transaction)
    return transaction


class Bank:
    """Pays what airdrops ask for. It has ten million SOL."""

    def __init__(self, chain: Chain, keypair: Keypair) -> None:
        self._chain = chain
        self._keypair = keypair

    def pay(self, receiver: Pubkey, lamports: int) -> VersionedTransaction:
        return send(
            self._chain, self._keypair, [transfer(self._keypair.pubkey(), receiver, lamports)]
        )
