"""Compares instructions: ours, made from what a recorded one asks for, beside the recorded one."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from routing.pools.vector_form import UnreadableVectors
from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    CPMM_PROGRAM,
    DLMM_PROGRAM,
    MEMO_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    associated_token_account,
)
from routing.solana.cpmm import instructions as cpmm
from routing.solana.cpmm.accounts import PoolAccount
from routing.solana.dlmm import instructions as dlmm
from routing.solana.dlmm.bin_arrays import arrays_ahead
from routing.solana.dlmm.lb_pair import LbPair
from routing.solana.programs import compute_budget, memo, system, token
from routing.solana.swap_amounts import read_amounts
from routing.solana.vectors.accounts import Accounts
from routing.solana.vectors.form import (
    Comparison,
    as_hex,
    as_key,
    as_list,
    as_object,
    compared,
    differs,
)

KIND = "instructions"


def compare(entries: Any, accounts: Accounts) -> Iterator[Comparison]:
    for name, entry in as_object(entries, "instructions").items():
        yield compared(KIND, name, partial(_differences, entry, accounts))


def _differences(entry: Any, accounts: Accounts) -> Iterator[str]:
    recorded = _read(as_object(entry, "it"))
    ours = _ours(recorded, accounts)
    yield from differs("the program", ours.program_id, recorded.program_id)
    yield from differs("the data", bytes(ours.data).hex(), bytes(recorded.data).hex())
    yield from differs("the number of accounts", len(ours.accounts), len(recorded.accounts))
    for place, (own, other) in enumerate(zip(ours.accounts, recorded.accounts, strict=False)):
        yield from differs(f"account {place}", _shown(own), _shown(other))


def _read(fields: dict[str, Any]) -> Instruction:
    metas = []
    for row in as_list(fields.get("accounts"), "accounts"):
        if not isinstance(row, list) or len(row) != 2 or not set(str(row[1])) <= set("sw"):
            raise UnreadableVectors(f"{row!r} is no account: [address, s and w]")
        metas.append(AccountMeta(as_key(row[0], "an account"), "s" in row[1], "w" in row[1]))
    program = as_key(fields.get("program"), "the program")
    return Instruction(program, as_hex(fields.get("data"), "the data"), metas)


def _shown(meta: AccountMeta) -> str:
    flags = "s" * meta.is_signer + "w" * meta.is_writable
    return f"{meta.pubkey} {flags}".rstrip()


def _ours(recorded: Instruction, accounts: Accounts) -> Instruction:
    """Return the instruction that we would make for the same.

    :raises UnreadableVectors: we make none of this kind, or it has too little for one.
    """
    make = _MAKERS.get(recorded.program_id)
    if make is None:
        raise UnreadableVectors(f"we make no instruction of {recorded.program_id}")
    try:
        made = make(recorded, [meta.pubkey for meta in recorded.accounts], accounts)
    except (IndexError, ValueError, StopIteration) as error:
        raise UnreadableVectors(f"it asks for nothing that can be made: {error}") from error
    if made is None:
        raise UnreadableVectors("we make no instruction of this kind")
    return made


def _cpmm(recorded: Instruction, keys: list[Pubkey], accounts: Accounts) -> Instruction | None:
    kind = recorded.data[:8]
    if kind not in (cpmm.SWAP_BASE_INPUT, cpmm.SWAP_BASE_OUTPUT):
        return None
    pool = accounts.read.get(keys[3])
    if not isinstance(pool, PoolAccount):
        raise UnreadableVectors(f"the file has no account of the pool {keys[3]}")
    return cpmm.swap(
        cpmm.PoolAt(keys[3], pool),
        read_amounts(recorded.data, is_exact_in=kind == cpmm.SWAP_BASE_INPUT),
        from_0=keys[6] == pool.vault_0,
        user=keys[0],
        user_in=keys[4],
        user_out=keys[5],
    )


def _dlmm(recorded: Instruction, keys: list[Pubkey], accounts: Accounts) -> Instruction | None:
    kind = recorded.data[:8]
    if kind not in (dlmm.SWAP, dlmm.SWAP_EXACT_OUT):
        return None
    pair = accounts.read.get(keys[0])
    if not isinstance(pair, LbPair):
        raise UnreadableVectors(f"the file has no account of the pair {keys[0]}")
    user, user_in = keys[10], keys[4]
    to_y = user_in == associated_token_account(user, pair.mint_x, pair.token_program_x)
    count = len(keys) - 16
    arrays = arrays_ahead(pair.active_id, pair.bitmap, None, to_y=to_y, count=count)
    return dlmm.swap(
        dlmm.PairAt(keys[0], pair),
        read_amounts(recorded.data, is_exact_in=kind == dlmm.SWAP),
        arrays,
        to_y=to_y,
        user=user,
        user_in=user_in,
        user_out=keys[5],
    )


def _associated(recorded: Instruction, keys: list[Pubkey], _: Accounts) -> Instruction | None:
    if recorded.data != bytes([token.CREATE_IDEMPOTENT_TAG]):
        return None
    return token.create_associated_account(keys[0], keys[2], keys[3], keys[5])


def _token(recorded: Instruction, keys: list[Pubkey], _: Accounts) -> Instruction | None:
    program, data = recorded.program_id, recorded.data
    match data[0]:
        case token.SYNC_NATIVE_TAG:
            return token.sync_native(keys[0])
        case token.CLOSE_TAG:
            return token.close_account(keys[0], keys[1], keys[2], program)
        case token.INITIALIZE_ACCOUNT_3_TAG:
            return token.initialize_account(keys[0], keys[1], Pubkey(data[1:33]), program)
        case token.TRANSFER_CHECKED_TAG:
            atoms = int.from_bytes(data[1:9], "little")
            source, mint, receiver, owner = keys
            return token.transfer_checked(source, mint, receiver, owner, atoms, data[9], program)
    return None


def _compute_budget(recorded: Instruction, _: list[Pubkey], __: Accounts) -> Instruction | None:
    number = int.from_bytes(recorded.data[1:], "little")
    match recorded.data[0]:
        case compute_budget.LIMIT_TAG:
            return compute_budget.limit(number)
        case compute_budget.PRICE_TAG:
            return compute_budget.price(number)
    return None


def _system(recorded: Instruction, keys: list[Pubkey], _: Accounts) -> Instruction | None:
    match system.read_tag(recorded.data):
        case system.TRANSFER_TAG:
            return system.transfer(keys[0], keys[1], system.read_transfer(recorded.data))
        case system.CREATE_WITH_SEED_TAG:
            asked = system.read_creation(recorded.data)
            return system.create_with_seed(
                keys[0], asked.seed, asked.lamports, asked.size, asked.owner
            )
    return None


def _memo(recorded: Instruction, _: list[Pubkey], __: Accounts) -> Instruction | None:
    return memo.memo(recorded.data.decode())


_Maker = Callable[[Instruction, list[Pubkey], Accounts], Instruction | None]

_MAKERS: dict[Pubkey, _Maker] = {
    CPMM_PROGRAM: _cpmm,
    DLMM_PROGRAM: _dlmm,
    ASSOCIATED_TOKEN_PROGRAM: _associated,
    TOKEN_PROGRAM: _token,
    TOKEN_2022_PROGRAM: _token,
    COMPUTE_BUDGET_PROGRAM: _compute_budget,
    SYSTEM_PROGRAM: _system,
    MEMO_PROGRAM: _memo,
}
