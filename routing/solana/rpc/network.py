"""The network of real transactions: sends them, and finds out what became of each.

A fill or an error counts as soon as one provider has its final record. A transaction counts as
absent only where every provider proves it, so one that is behind, silent or wrong keeps an order
waiting, and never makes it trade twice.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM
from routing.solana.records.failures import failure_of
from routing.solana.records.fills import (
    NotTheWallets,
    UnexpectedMoves,
    landed,
    moves_of,
    tip_in,
)
from routing.solana.records.record import Record, UnreadableRecord, read_record
from routing.solana.records.traded import NotASwap, traded_mints
from routing.solana.rpc.answers import StoredTransaction
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import RpcError, RpcUnavailable
from routing.solana.rpc.shared import Shared
from routing.solana.rpc.sightings import INTERVAL, Final, NotFinal, Sighting, Sightings, Unknown
from routing.solana.transactions.message import (
    Blockhash,
    UnreadableTransaction,
    bytes_to_sign,
    read_message,
    read_transaction,
)
from routing.venue import (
    Absent,
    NetworkUnavailable,
    Rejected,
    SignedTransaction,
    TransactionRefused,
    TransactionStatus,
)

BLOCKHASH_BLOCKS = 150
"""For so many blocks after its own a blockhash may be named."""
_IMPLAUSIBLE_BLOCKS = 3 * BLOCKHASH_BLOCKS
BLOCKHASH_SECONDS = 1.0
"""How long one blockhash serves all new transactions; it may be named for about half a minute."""

OnLanded = Callable[[str, Record, int | None], None]
"""Takes a signature, its record, and the unix time of its block, if it is known."""

logger = logging.getLogger(__name__)


class SolanaNetwork:
    """Keeps the promises of `routing.venue.Network`."""

    def __init__(
        self,
        client: RpcClient,
        *,
        tip_receivers: Collection[Pubkey] = (),
        cpmm_program: Pubkey = CPMM_PROGRAM,
        dlmm_program: Pubkey = DLMM_PROGRAM,
        interval: float = INTERVAL,
        on_landed: OnLanded | None = None,
    ) -> None:
        """`on_landed` is told of each transaction that succeeded, with its record."""
        self._client = client
        self._on_landed = on_landed
        self._sightings = [Sightings(one, interval=interval) for one in client.providers]
        self._tip_receivers = frozenset(tip_receivers)
        self._recent = Shared(self._newest_blockhash, BLOCKHASH_SECONDS)
        self._programs = {"cpmm_program": cpmm_program, "dlmm_program": dlmm_program}

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        """See `Network.send`. It looks the signature up beside, as another process may have."""
        height = await self.height()
        if height > transaction.expires_at_height:
            return await self._of_expired(transaction)
        sent, status = await asyncio.gather(
            self._client.send(transaction.payload),
            self.status(transaction),
            return_exceptions=True,
        )
        for outcome in (sent, status):
            if isinstance(outcome, BaseException) and not isinstance(
                outcome, RpcError | RpcUnavailable | NetworkUnavailable
            ):
                raise outcome
        if not isinstance(status, BaseException | Absent):
            return status
        if isinstance(sent, RpcError):
            raise TransactionRefused(f"the network refused the bytes: {sent}") from sent
        if isinstance(sent, RpcUnavailable):
            raise NetworkUnavailable(f"no provider is known to have taken it: {sent}") from sent
        return Absent(min(height, transaction.expires_at_height))

    async def status(self, transaction: SignedTransaction) -> TransactionStatus:
        """See `Network.status`. `Absent` has the least height at which all providers prove it."""
        looks = (one.look(transaction.signature) for one in self._sightings)
        found = await asyncio.gather(*looks, return_exceptions=True)
        sightings: list[Sighting] = []
        failures: list[RpcUnavailable] = []
        for one in found:
            if isinstance(one, RpcUnavailable):
                failures.append(one)
            elif isinstance(one, BaseException):
                raise one
            else:
                sightings.append(one)
        if any(isinstance(one, Final) for one in sightings):
            return await self._outcome(transaction.signature)
        if any(isinstance(one, NotFinal) for one in sightings):
            return Absent(0)  # it may yet be final, so nothing is proven of any height
        if failures:
            raise NetworkUnavailable("; ".join(map(str, failures))) from failures[0]
        height = min(one.height for one in sightings if isinstance(one, Unknown))
        await self._check_history(transaction, height)
        return Absent(height)

    async def height(self) -> int:
        """See `Network.height`. It is the finalized one of the provider that is farthest behind."""
        return min(await self._heights())

    async def blockhash(self) -> Blockhash:
        """Return a block of the last second, and the height after which it may not be named.

        A provider that names too low a height must not have us give a transaction up that can
        still land. So the height is never below what the others' blocks allow.

        :raises NetworkUnavailable: no provider answered, or what it said cannot be.
        """
        return await self._recent.get()

    async def close(self) -> None:
        """See `Network.close`."""
        await self._recent.close()
        for one in self._sightings:
            await one.close()
        await self._client.close()

    async def _newest_blockhash(self) -> Blockhash:
        try:
            recent = await self._client.blockhash()
        except (RpcUnavailable, RpcError) as error:
            raise NetworkUnavailable(f"no blockhash: {error}") from error
        highest = max(await self._heights())
        if recent.expires_at_height > highest + _IMPLAUSIBLE_BLOCKS:
            raise NetworkUnavailable("a blockhash expires later than it can")
        expiry = max(recent.expires_at_height, highest + BLOCKHASH_BLOCKS)
        return recent._replace(expires_at_height=expiry)

    async def _heights(self) -> Sequence[int]:
        """Return the heights of the providers that answer.

        :raises NetworkUnavailable: none does.
        """
        epochs = await asyncio.gather(
            *(one.epoch() for one in self._sightings), return_exceptions=True
        )
        heights, failures = [], []
        for one in epochs:
            if isinstance(one, RpcUnavailable):
                failures.append(one)
            elif isinstance(one, BaseException):
                raise one
            else:
                heights.append(one.height)
        if not heights:
            raise NetworkUnavailable("; ".join(map(str, failures))) from failures[0]
        return heights

    async def _check_history(self, transaction: SignedTransaction, height: int) -> None:
        """Return if absence at `height` says what it seems to.

        A node that has thrown the blocks away in which the transaction could be knows nothing of
        it either.

        :raises NetworkUnavailable: a provider does not keep, or does not say how long it keeps,
            its history.
        """
        if height <= transaction.expires_at_height:
            return
        earliest = transaction.expires_at_height - BLOCKHASH_BLOCKS
        for one in self._sightings:
            try:
                reaches = await one.reaches_back_to(earliest)
            except RpcUnavailable as error:
                raise NetworkUnavailable(str(error)) from error
            if not reaches:
                raise NetworkUnavailable(f"a provider keeps no history back to height {earliest}")

    async def _of_expired(self, transaction: SignedTransaction) -> TransactionStatus:
        """Return what became of bytes that are too old to be sent.

        :raises TransactionRefused: nothing is known of them. This proves nothing.
        """
        status = await self.status(transaction)
        if isinstance(status, Absent):
            raise TransactionRefused("the transaction has expired")
        return status

    async def _outcome(self, signature: str) -> TransactionStatus:
        """Return the fill or the failure of a final transaction, by its record.

        :raises NetworkUnavailable: no provider has the record, or it cannot be this one's.
        """
        try:
            stored = await self._client.stored(signature)
        except RpcUnavailable as error:
            raise NetworkUnavailable(f"no record of a final transaction: {error}") from error
        if stored is None:
            raise NetworkUnavailable("no provider has the record of a final transaction yet")
        try:
            return self._read(signature, stored)
        except (
            *(UnreadableRecord, UnreadableTransaction, NotTheWallets),
            *(UnexpectedMoves, NotASwap),
        ) as error:
            # It is final, and we cannot say what it did: a wrong record, or a fault of ours.
            logger.error("the record of %s cannot be: %s", signature, error)
            raise NetworkUnavailable(f"a record cannot be: {error}") from error

    def _read(self, signature: str, stored: StoredTransaction) -> TransactionStatus:
        message = read_message(stored.payload)
        wallet = message.account_keys[0]
        signed = read_transaction(stored.payload).signatures[0]
        if str(signed) != signature or not signed.verify(wallet, bytes_to_sign(message)):
            raise UnreadableRecord("it is another transaction's")
        record = read_record(message.account_keys, stored.meta)
        if record.error is not None:
            programs = [record.accounts[one.program_id_index] for one in message.instructions]
            failure = failure_of(record.error, programs)
            return Rejected(failure.code, failure.reason, record.fee)
        moves = moves_of(record, wallet, tip_in(stored.payload, record, self._tip_receivers))
        gives, takes = traded_mints(record.instructions_of(message), **self._programs)
        fill = landed(moves, gives=gives, takes=takes)
        self._tell(signature, record, stored.block_time)
        return fill

    def _tell(self, signature: str, record: Record, block_time: int | None) -> None:
        """Tell of a fill. Whatever comes of it, the fill stays what it is."""
        if self._on_landed is None:
            return
        try:
            self._on_landed(signature, record, block_time)
        except Exception:
            logger.exception("what was told of %s failed", signature)
