"""Compares derived addresses. An entry is [name, program, seeds, address]."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from solders.pubkey import Pubkey

from routing.pools.vector_form import UnreadableVectors
from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    CPMM_PROGRAM,
    CPMM_PROGRAM_ON_DEVNET,
    DLMM_PROGRAM,
    associated_token_account,
    derived,
)
from routing.solana.cpmm import addresses as cpmm
from routing.solana.dlmm import addresses as dlmm
from routing.solana.vectors.accounts import Accounts
from routing.solana.vectors.form import Comparison, as_key, as_list, compared, differs

KIND = "addresses"

_NUMBER = re.compile(r"([ui])(8|16|32|64) (big|little)-endian (-?\d+)")
_IDENTITY = re.compile(r"[0-9a-f]{64}")
"""32 bytes that are no address, such as the identity of a price feed."""
_SMALLER, _LARGER = "the smaller of the two mints by bytes", "the larger"

Seed = Pubkey | int | str


def compare(entries: Any, accounts: Accounts) -> Iterator[Comparison]:
    for number, entry in enumerate(as_list(entries, "pdas")):
        name = str(entry[0]) if isinstance(entry, list) and entry else f"address {number}"
        yield compared(KIND, name, partial(_differences, entry, accounts))


def _differences(entry: Any, accounts: Accounts) -> Iterator[str]:
    if not isinstance(entry, list) or len(entry) != 4:
        raise UnreadableVectors("it is not [name, program, seeds, address]")
    _, program, seeds, address = entry
    at = as_key(program, "the program")
    read = [_read(seed, accounts) for seed in as_list(seeds, "the seeds")]
    recorded = as_key(address, "the address")
    yield from differs("the address of its seeds", derived(at, *(raw for _, raw in read)), recorded)
    ours = _ours(at, [seed for seed, _ in read])
    if ours is not None:
        yield from differs("the address", ours, recorded)


def _read(seed: Any, accounts: Accounts) -> tuple[Seed, bytes]:
    """Return a seed's meaning and its bytes."""
    if not isinstance(seed, str):
        raise UnreadableVectors(f"{seed!r} is no seed")
    if seed in (_SMALLER, _LARGER):
        mints = sorted(accounts.mints_of_pair(), key=bytes)
        mint = mints[seed == _LARGER]
        return mint, bytes(mint)
    if matched := _NUMBER.fullmatch(seed):
        sign, bits, order, digits = matched.groups()
        try:
            raw = int(digits).to_bytes(
                int(bits) // 8, "big" if order == "big" else "little", signed=sign == "i"
            )
        except OverflowError as error:
            raise UnreadableVectors(f"{seed!r} has too few bytes") from error
        return int(digits), raw
    if _IDENTITY.fullmatch(seed):
        return seed, bytes.fromhex(seed)
    try:
        key = Pubkey.from_string(seed)
    except ValueError:
        raw = seed.encode()
        if len(raw) > 32:
            raise UnreadableVectors(f"{seed!r} is longer than a seed may be") from None
        return seed, raw
    return key, bytes(key)


def _ours(program: Pubkey, seeds: list[Seed]) -> Pubkey | None:
    """Return what our own function derives; None if we have none for these seeds."""
    match program, seeds:
        case (_, [Pubkey() as owner, Pubkey() as token_program, Pubkey() as mint]) if (
            program == ASSOCIATED_TOKEN_PROGRAM
        ):
            return associated_token_account(owner, mint, token_program)
        case (_, [Pubkey() as preset, Pubkey() as mint, Pubkey() as other]) if (
            program == DLMM_PROGRAM
        ):
            return dlmm.lb_pair(preset, other, mint)
        case (_, [Pubkey() as pair, Pubkey() as mint]) if program == DLMM_PROGRAM:
            return dlmm.reserve(pair, mint)
        case (_, [str() as kind, *rest]):
            function = _FUNCTIONS.get((program, kind))
            return None if function is None else function(*rest, program=program)
    return None


_OF_CPMM: dict[str, Callable[..., Pubkey]] = {
    "vault_and_lp_mint_auth_seed": cpmm.authority,
    "amm_config": cpmm.config,
    "pool": cpmm.pool,
    "pool_vault": cpmm.vault,
    "pool_lp_mint": cpmm.lp_mint,
    "observation": cpmm.observation,
}
_OF_DLMM: dict[str, Callable[..., Pubkey]] = {
    "preset_parameter2": dlmm.preset,
    "oracle": dlmm.oracle,
    "bin_array": dlmm.bin_array,
    "bitmap": dlmm.bitmap_extension,
    "__event_authority": dlmm.event_authority,
}
_FUNCTIONS = {
    (program, kind): function
    for program, functions in (
        (CPMM_PROGRAM, _OF_CPMM),
        (CPMM_PROGRAM_ON_DEVNET, _OF_CPMM),
        (DLMM_PROGRAM, _OF_DLMM),
    )
    for kind, function in functions.items()
}
