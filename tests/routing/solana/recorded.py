"""What the programs' binaries made and did, from tests/vectors/solana/programs.json."""

import base64
import json
from pathlib import Path
from typing import Any

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import associated_token_account
from routing.solana.cpmm.accounts import read_pool
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.dlmm.instructions import PairAt
from routing.solana.dlmm.lb_pair import read_lb_pair

FILE = Path(__file__).parents[2] / "vectors/solana/programs.json"
RECORDED: dict[str, Any] = json.loads(FILE.read_text())


def key(text: str) -> Pubkey:
    return Pubkey.from_string(text)


def address(name: str) -> Pubkey:
    return key(RECORDED["accounts"][name]["key"])


def account(name: str) -> bytes:
    return base64.b64decode(RECORDED["accounts"][name]["data"])


USER = key("HXqxDbshu9KGXE3WCX48RwPN53haboNyJQHqx5pXBsNX")
POOL = PoolAt(address("cpmm_pool"), read_pool(account("cpmm_pool")))
PAIR = PairAt(address("lb_pair"), read_lb_pair(account("lb_pair")))
SOL_MINT, USDC_MINT = POOL.account.mint_0, POOL.account.mint_1
USER_SOL = associated_token_account(USER, SOL_MINT)
USER_USDC = associated_token_account(USER, USDC_MINT)


def instruction(name: str) -> tuple[str, str, list[list[str]]]:
    """Return what `as_recorded` makes of the same instruction."""
    (found,) = [one for full, one in RECORDED["instructions"].items() if full.startswith(name)]
    return found["program"], found["data"], found["accounts"]


def as_recorded(made: Instruction) -> tuple[str, str, list[list[str]]]:
    accounts = [
        [str(one.pubkey), "s" * one.is_signer + "w" * one.is_writable] for one in made.accounts
    ]
    return str(made.program_id), bytes(made.data).hex(), accounts
