import pytest
from solders.pubkey import Pubkey

from routing.solana.addresses import (
    CPMM_PROGRAM_ON_DEVNET,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    associated_token_account,
    seeded,
)
from routing.solana.cpmm import addresses as cpmm
from routing.solana.dlmm import addresses as dlmm
from tests.routing.solana.recorded import (
    PAIR,
    POOL,
    RECORDED,
    SOL_MINT,
    USDC_MINT,
    USER,
    USER_SOL,
)

RECORDED_ADDRESSES = {name: address for name, _, _, address in RECORDED["pdas"]}
PAIR_AT, POOL_AT = PAIR.address, POOL.address


@pytest.mark.parametrize(
    ("name", "derived"),
    [
        ("cpmm authority", cpmm.authority()),
        ("cpmm amm_config 0", cpmm.config(0)),
        ("cpmm amm_config 1", cpmm.config(1)),
        ("cpmm vault 0", cpmm.vault(POOL_AT, SOL_MINT)),
        ("cpmm vault 1", cpmm.vault(POOL_AT, USDC_MINT)),
        ("cpmm observation", cpmm.observation(POOL_AT)),
        ("dlmm event authority", dlmm.event_authority()),
        ("dlmm preset_parameter2 3", dlmm.preset(3)),
        ("dlmm lb_pair", dlmm.lb_pair(dlmm.preset(3), SOL_MINT, USDC_MINT)),
        ("dlmm lb_pair", dlmm.lb_pair(dlmm.preset(3), USDC_MINT, SOL_MINT)),
        ("dlmm oracle", dlmm.oracle(PAIR_AT)),
        ("dlmm bitmap extension", dlmm.bitmap_extension(PAIR_AT)),
        ("dlmm bin array -17", dlmm.bin_array(PAIR_AT, -17)),
    ],
)
def test_an_address_is_the_one_that_the_program_derives(name: str, derived: Pubkey) -> None:
    assert str(derived) == RECORDED_ADDRESSES[name]


def test_the_accounts_of_the_pools_name_the_derived_addresses() -> None:
    assert POOL.account.lp_mint == cpmm.lp_mint(POOL_AT)
    assert POOL.account.config == cpmm.config(0)
    assert PAIR.account.reserve_x == dlmm.reserve(PAIR_AT, SOL_MINT)
    assert PAIR.account.reserve_y == dlmm.reserve(PAIR_AT, USDC_MINT)
    assert PAIR.account.base_key == dlmm.preset(3)


def test_a_program_of_another_cluster_has_addresses_of_its_own() -> None:
    assert cpmm.authority(CPMM_PROGRAM_ON_DEVNET) != cpmm.authority()


def test_a_wallet_has_one_account_of_a_mint_for_each_token_program() -> None:
    of_token = associated_token_account(USER, SOL_MINT, TOKEN_PROGRAM)
    of_token_2022 = associated_token_account(USER, SOL_MINT, TOKEN_2022_PROGRAM)

    assert of_token == USER_SOL
    assert of_token != of_token_2022


def test_a_seeded_address_is_the_one_that_solana_would_create() -> None:
    made = seeded(USER, "a seed", TOKEN_PROGRAM)

    assert made == Pubkey.create_with_seed(USER, "a seed", TOKEN_PROGRAM)
