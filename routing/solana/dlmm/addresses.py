"""The addresses that the DLMM program derives."""

from functools import lru_cache

from solders.pubkey import Pubkey

from routing.solana.addresses import DLMM_PROGRAM, derived


def preset(index: int, program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    return derived(program, b"preset_parameter2", index.to_bytes(2, "little"))


def lb_pair(preset: Pubkey, mint: Pubkey, other: Pubkey, program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    """Return where the pair of a preset and two mints stands, in whichever order they come.

    Older pairs stand elsewhere. So a pair is read, and never derived.
    """
    low, high = sorted((bytes(mint), bytes(other)))
    return derived(program, bytes(preset), low, high)


def reserve(pair: Pubkey, mint: Pubkey, program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    return derived(program, bytes(pair), bytes(mint))


def oracle(pair: Pubkey, program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    return derived(program, b"oracle", bytes(pair))


@lru_cache(maxsize=4_096)
def bin_array(pair: Pubkey, index: int, program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    return derived(program, b"bin_array", bytes(pair), index.to_bytes(8, "little", signed=True))


def bitmap_extension(pair: Pubkey, program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    return derived(program, b"bitmap", bytes(pair))


@lru_cache(maxsize=8)
def event_authority(program: Pubkey = DLMM_PROGRAM) -> Pubkey:
    return derived(program, b"__event_authority")
