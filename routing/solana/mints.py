"""What the mints of a pool mean for trading in it: transfer fees, and what we do not trade."""

from routing.pools.pool import Pool
from routing.pools.transfer_fees import FREE, PoolWithTransferFees, TransferFee
from routing.solana.token_accounts import Mint

_TRANSFER_FEE, _INTEREST, _METADATA_POINTER, _METADATA, _SCALED_AMOUNT = 1, 10, 18, 19, 25
_HARMLESS = frozenset({_TRANSFER_FEE, _INTEREST, _METADATA_POINTER, _METADATA, _SCALED_AMOUNT})
"""The extensions with which a transfer moves what it says, less a fee that is known before."""


def strange_extensions(mint: Mint) -> frozenset[int]:
    """Return the numbers of its extensions with which we do not trade it.

    Among them are hooks, a delegate that may take everything, and accounts that begin frozen.
    """
    return frozenset(mint.extensions) - _HARMLESS


def with_transfer_fees(pool: Pool, mint_x: Mint, mint_y: Mint, epoch: int) -> Pool:
    """Return the pool as its traders see it in this epoch: the same one if transfers are free."""
    fee_x, fee_y = _fee(mint_x, epoch), _fee(mint_y, epoch)
    if fee_x == fee_y == FREE:
        return pool
    return PoolWithTransferFees(pool, fee_x, fee_y)


def _fee(mint: Mint, epoch: int) -> TransferFee:
    fee = mint.transfer_fee_at(epoch)
    return FREE if fee is None else TransferFee(fee.bps, fee.most)
