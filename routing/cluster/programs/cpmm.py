"""Raydium's CPMM: its two swaps, with the checks and the codes of the program."""

from collections.abc import Sequence
from typing import NamedTuple

from solders.account import Account
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.cluster.messages import Reads
from routing.cluster.programs import program as anchor
from routing.cluster.programs.program import Effect, Refused, require
from routing.pools.constant_product import ConstantProductPool
from routing.pools.pool import Direction, Fill, PoolDisabled, SwapRefused, ZeroOutput
from routing.solana.addresses import CPMM_PROGRAM, TOKEN_PROGRAM
from routing.solana.cpmm import addresses
from routing.solana.cpmm.accounts import PoolAccount, read_config, read_pool
from routing.solana.cpmm.instructions import SWAP_BASE_INPUT, SWAP_BASE_OUTPUT
from routing.solana.cpmm.pools import pool_of
from routing.solana.layout import UnreadableAccount
from routing.solana.programs.token import transfer_checked
from routing.solana.swap_amounts import SwapAmounts, read_amounts
from routing.solana.token_accounts import Clock, read_token_account

NOT_APPROVED = Refused(6000, "NotApproved")
SLIPPAGE = Refused(6005, "ExceededSlippage")
NOTHING_MOVES = Refused(2505, "RequireGtViolated")
BEYOND_RESERVES = Refused(None, "the amount is beyond the pool's reserves")
NOT_EMULATED = Refused(None, "the cluster emulates pools of the Token program alone")

_NAMES = {SWAP_BASE_INPUT: "SwapBaseInput", SWAP_BASE_OUTPUT: "SwapBaseOutput"}
_UNITS = 32_900
_KEYS = 13
_FEES_PLACE, _CREATOR_FEES_PLACE = 341, 397


class _Keys(NamedTuple):
    """The accounts of a swap, in the program's order."""

    user: Pubkey
    authority: Pubkey
    config: Pubkey
    pool: Pubkey
    user_in: Pubkey
    user_out: Pubkey
    vault_in: Pubkey
    vault_out: Pubkey
    program_in: Pubkey
    program_out: Pubkey
    mint_in: Pubkey
    mint_out: Pubkey
    observation: Pubkey


class Cpmm:
    """See `SwapProgram`."""

    def effect(self, instruction: Instruction, accounts: Reads, clock: Clock) -> Effect:
        name = _NAMES.get(bytes(instruction.data[:8]))
        if name is None:
            raise anchor.UNKNOWN_INSTRUCTION
        amounts = _amounts(instruction, name)
        keys = _keys(instruction)
        require(instruction.accounts[0].is_signer, anchor.NOT_A_SIGNER)
        pool = _pool_account(accounts(keys.pool))
        _check(keys, pool)
        config = read_config(_data(accounts(pool.config)))
        vault_0, vault_1 = _vaults(accounts, pool)
        state = pool_of(pool, config, vault_0=vault_0, vault_1=vault_1, now=clock.unix_time)
        from_0 = keys.vault_in == pool.vault_0
        fill, after = _swap(state, amounts, from_0)
        return Effect(
            name,
            _transfers(keys, pool, fill, from_0),
            {keys.pool: bytes_after(_data(accounts(keys.pool)), after)},
            {pool.vault_0: after.vault_x, pool.vault_1: after.vault_y},
            _UNITS,
        )

    def user_accounts(self, instruction: Instruction) -> tuple[Pubkey, ...]:
        return tuple(meta.pubkey for meta in instruction.accounts[4:6])


def bytes_after(data: bytes, pool: ConstantProductPool) -> bytes:
    """Return the pool's account with what it owes in fees."""
    written = bytearray(data)
    fees = (pool.protocol_fees_x, pool.protocol_fees_y, pool.fund_fees_x, pool.fund_fees_y)
    _write(written, _FEES_PLACE, fees)
    _write(written, _CREATOR_FEES_PLACE, (pool.creator_fees_x, pool.creator_fees_y))
    return bytes(written)


def _amounts(instruction: Instruction, name: str) -> SwapAmounts:
    try:
        return read_amounts(instruction.data, is_exact_in=name == "SwapBaseInput")
    except ValueError:
        raise anchor.UNREADABLE_DATA from None


def _keys(instruction: Instruction) -> _Keys:
    require(len(instruction.accounts) >= _KEYS, anchor.NOT_ENOUGH_KEYS)
    return _Keys(*(meta.pubkey for meta in instruction.accounts[:_KEYS]))


def _data(account: Account | None) -> bytes:
    if account is None:
        raise anchor.ACCOUNT_NOT_INITIALIZED
    return account.data


def _pool_account(account: Account | None) -> PoolAccount:
    data = _data(account)
    require(account is not None and account.owner == CPMM_PROGRAM, anchor.WRONG_OWNER)
    try:
        return read_pool(data)
    except UnreadableAccount:
        raise anchor.WRONG_KIND from None


def _check(keys: _Keys, pool: PoolAccount) -> None:
    """Check the accounts as the program's own list of them does, in its order."""
    require(keys.authority == addresses.authority(), anchor.WRONG_SEEDS)
    require(keys.config == pool.config, anchor.WRONG_ADDRESS)
    vaults = {pool.vault_0: pool.mint_0, pool.vault_1: pool.mint_1}
    for vault in (keys.vault_in, keys.vault_out):
        require(vault in vaults, anchor.CONSTRAINT_BROKEN)
    require(keys.vault_in != keys.vault_out, anchor.CONSTRAINT_BROKEN)
    for mint, vault in ((keys.mint_in, keys.vault_in), (keys.mint_out, keys.vault_out)):
        require(mint == vaults[vault], anchor.WRONG_ADDRESS)
    require(keys.observation == pool.observation, anchor.WRONG_ADDRESS)
    programs = {keys.program_in, keys.program_out, pool.token_program_0, pool.token_program_1}
    require(programs == {TOKEN_PROGRAM}, NOT_EMULATED)


def _vaults(accounts: Reads, pool: PoolAccount) -> tuple[int, int]:
    first, second = (
        read_token_account(_data(accounts(vault))).amount for vault in (pool.vault_0, pool.vault_1)
    )
    return first, second


def _swap(
    pool: ConstantProductPool, amounts: SwapAmounts, from_0: bool
) -> tuple[Fill, ConstantProductPool]:
    way = Direction.X_TO_Y if from_0 else Direction.Y_TO_X
    try:
        if amounts.is_exact_in:
            fill, after = pool.swap_exact_in(amounts.amount_in, way)
        else:
            fill, after = pool.swap_exact_out(amounts.amount_out, way)
    except PoolDisabled:
        raise NOT_APPROVED from None
    except ZeroOutput:
        raise NOTHING_MOVES from None
    except SwapRefused:
        raise BEYOND_RESERVES from None
    require(amounts.bound.admits(fill.amount_in, fill.amount_out), SLIPPAGE)
    return fill, after


def _transfers(
    keys: _Keys, pool: PoolAccount, fill: Fill, from_0: bool
) -> tuple[Instruction, Instruction]:
    decimals = [pool.decimals_0, pool.decimals_1]
    of_in, of_out = decimals if from_0 else reversed(decimals)
    return (
        transfer_checked(
            keys.user_in, keys.mint_in, keys.vault_in, keys.user, fill.amount_in, of_in
        ),
        transfer_checked(
            keys.vault_out, keys.mint_out, keys.user_out, keys.authority, fill.amount_out, of_out
        ),
    )


def _write(written: bytearray, place: int, numbers: Sequence[int]) -> None:
    for number in numbers:
        written[place : place + 8] = number.to_bytes(8, "little")
        place += 8
