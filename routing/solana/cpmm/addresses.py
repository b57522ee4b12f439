"""The addresses that the CPMM program derives."""

from functools import lru_cache

from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM, derived


@lru_cache(maxsize=8)
def authority(program: Pubkey = CPMM_PROGRAM) -> Pubkey:
    """Return the owner of all vaults of all pools."""
    return derived(program, b"vault_and_lp_mint_auth_seed")


def config(index: int, program: Pubkey = CPMM_PROGRAM) -> Pubkey:
    return derived(program, b"amm_config", index.to_bytes(2, "big"))


def pool(config: Pubkey, mint_0: Pubkey, mint_1: Pubkey, program: Pubkey = CPMM_PROGRAM) -> Pubkey:
    """Return where the pool of a config and two mints stands if it was made without a key.

    Any key that signed may be a pool's address. So a pool is read, and never derived.
    """
    return derived(program, b"pool", bytes(config), bytes(mint_0), bytes(mint_1))


def vault(pool: Pubkey, mint: Pubkey, program: Pubkey = CPMM_PROGRAM) -> Pubkey:
    return derived(program, b"pool_vault", bytes(pool), bytes(mint))


def lp_mint(pool: Pubkey, program: Pubkey = CPMM_PROGRAM) -> Pubkey:
    return derived(program, b"pool_lp_mint", bytes(pool))


def observation(pool: Pubkey, program: Pubkey = CPMM_PROGRAM) -> Pubkey:
    return derived(program, b"observation", bytes(pool))
