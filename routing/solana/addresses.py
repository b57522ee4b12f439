"""The addresses of programs and mints, and those that follow from others."""

import hashlib

from solders.pubkey import Pubkey

SYSTEM_PROGRAM = Pubkey.from_string("11111111111111111111111111111111")
COMPUTE_BUDGET_PROGRAM = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED_TOKEN_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO_PROGRAM = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
CPMM_PROGRAM = Pubkey.from_string("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
CPMM_PROGRAM_ON_DEVNET = Pubkey.from_string("DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb")
DLMM_PROGRAM = Pubkey.from_string("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")
"""Meteora's, on mainnet and devnet alike."""

WRAPPED_SOL = Pubkey.from_string("So11111111111111111111111111111111111111112")
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
NONE = Pubkey.default()
"""32 zeros: what a program writes where an address is missing. It is the system program, too."""

TOKEN_PROGRAMS = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)


def derived(program: Pubkey, *seeds: bytes) -> Pubkey:
    """Return the address that `program` owns for these seeds (a PDA). It has no private key."""
    return Pubkey.find_program_address(seeds, program)[0]


def associated_token_account(
    owner: Pubkey, mint: Pubkey, token_program: Pubkey = TOKEN_PROGRAM
) -> Pubkey:
    """Return the address at which a wallet holds a mint, by convention (an ATA)."""
    seeds = bytes(owner), bytes(token_program), bytes(mint)
    return derived(ASSOCIATED_TOKEN_PROGRAM, *seeds)


def seeded(base: Pubkey, seed: str, owner: Pubkey) -> Pubkey:
    """Return the address that `base` may create for `owner` under a seed of at most 32 bytes."""
    return Pubkey(hashlib.sha256(bytes(base) + seed.encode() + bytes(owner)).digest())
