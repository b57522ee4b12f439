"""What the network tells of a wallet's transactions, from the newest back."""

from collections.abc import AsyncIterator, Collection
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from routing.solana.records.fills import Moves, NotTheWallets, moves_of, tip_in
from routing.solana.records.record import read_record
from routing.solana.records.traded import NotASwap, traded_mints
from routing.solana.rpc import answers
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import Provider, RpcUnavailable
from routing.solana.transactions.message import UnreadableTransaction, read_message

PAGE = 1_000
"""How many signatures one call tells."""


class Passed(NamedTuple):
    """One transaction that names the wallet, as its record tells it."""

    signature: str
    lamports: int
    """What the wallet's own address gained or lost, fees and all."""
    moves: Moves | None
    """None: another one paid it, so that it is not the wallet's."""
    has_failed: bool
    gives: Pubkey | None = None
    """What it trades, if it is a swap of ours."""
    takes: Pubkey | None = None


async def signatures_of(provider: Provider, wallet: Pubkey) -> AsyncIterator[str]:
    """Yield the final signatures that name the wallet, the newest first.

    :raises RpcUnavailable: the provider does not answer.
    """
    before: str | None = None
    while True:
        options = {"commitment": "finalized", "limit": PAGE} | (
            {"before": before} if before else {}
        )
        answer = await provider.call("getSignaturesForAddress", str(wallet), options)
        page = answers.read_answer(_signatures, answer)
        for signature in page:
            yield signature
        if len(page) < PAGE:
            return
        before = page[-1]


async def passed(
    client: RpcClient, wallet: Pubkey, signature: str, tip_receivers: Collection[Pubkey] = ()
) -> Passed:
    """Return what a final transaction moved for the wallet.

    :raises RpcUnavailable: no provider has its record.
    :raises UnreadableRecord: the record cannot be read.
    """
    stored = await client.stored(signature)
    if stored is None:
        raise RpcUnavailable(f"no provider has the record of {signature}")
    try:
        message = read_message(stored.payload)
    except UnreadableTransaction as error:  # of another version: somebody else's
        raise RpcUnavailable(f"{signature} cannot be read: {error}") from error
    record = read_record(message.account_keys, stored.meta)
    places = [place for place, key in enumerate(record.accounts) if key == wallet]
    lamports = sum(record.lamports[place].moved for place in places)
    try:
        moves = moves_of(record, wallet, tip_in(stored.payload, record, tip_receivers))
    except NotTheWallets:
        return Passed(signature, lamports, None, record.error is not None)
    try:
        gives, takes = traded_mints(record.instructions_of(message))
    except NotASwap:
        return Passed(signature, lamports, moves, record.error is not None)
    return Passed(signature, lamports, moves, record.error is not None, gives, takes)


def _signatures(answer: Any) -> list[str]:
    return [str(one["signature"]) for one in answer]
