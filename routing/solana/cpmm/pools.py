"""A CPMM pool's accounts as the pool that routing calculates with. Token 0 is x, token 1 is y."""

from routing.pools.constant_product import ConstantProductPool, CreatorFeeOn, FeeRates
from routing.solana.cpmm.accounts import ConfigAccount, PoolAccount
from routing.solana.layout import UnreadableAccount


def pool_of(
    account: PoolAccount, config: ConfigAccount, *, vault_0: int, vault_1: int, now: int
) -> ConstantProductPool:
    """Return the pool at `now` (unix seconds), with what its vaults hold, in atoms.

    :raises UnreadableAccount: the creator's fee is of a kind that we do not know.
    """
    return ConstantProductPool(
        vault_x=vault_0,
        vault_y=vault_1,
        rates=rates_of(account, config),
        protocol_fees_x=account.protocol_fees_0,
        protocol_fees_y=account.protocol_fees_1,
        fund_fees_x=account.fund_fees_0,
        fund_fees_y=account.fund_fees_1,
        creator_fees_x=account.creator_fees_0,
        creator_fees_y=account.creator_fees_1,
        enabled=account.takes_swaps and now >= account.open_time,
    )


def rates_of(account: PoolAccount, config: ConfigAccount) -> FeeRates:
    """:raises UnreadableAccount: the creator's fee is of a kind that we do not know."""
    try:
        fee_on = CreatorFeeOn(account.creator_fee_on)
    except ValueError as error:
        kind = account.creator_fee_on
        raise UnreadableAccount(f"a CPMM pool has no creator's fee of kind {kind}") from error
    return FeeRates(
        trade=config.trade_rate,
        protocol=config.protocol_rate,
        fund=config.fund_rate,
        creator=config.creator_rate if account.pays_creator else 0,
        creator_fee_on=fee_on,
    )
