"""Swaps in real transactions: our mathematics say what moves, and the token program moves it."""

import base64
import random
from collections.abc import Awaitable, Callable

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from routing.cluster.genesis.accounts import mint_of
from routing.pools.constant_product import ConstantProductPool
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import MAX_U64, Direction
from routing.solana.addresses import (
    DLMM_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    associated_token_account,
    seeded,
)
from routing.solana.dlmm.bin_arrays import arrays_with_liquidity
from routing.solana.dlmm.lb_pair import read_lb_pair
from routing.solana.layout import discriminator_of_instruction
from routing.solana.programs import compute_budget, system, token
from routing.solana.swap_amounts import SwapAmounts, exact_in, exact_out
from tests.routing.cluster.swaps import (
    Accounts,
    cpmm_pool,
    dlmm_pool,
    in_cpmm,
    in_dlmm,
    market,
    own_accounts,
)
from tests.support.local_cluster import Client

SOL = 10**9
SOL_USDC = market("SOL/USDC")
JUP_SOL = market("JUP/SOL")
X_TO_Y = Direction.X_TO_Y
Swap = Callable[..., Awaitable[Instruction]]


def custom(number: int, code: int) -> dict[str, object]:
    return {"InstructionError": [number, {"Custom": code}]}


async def held(node: Client, accounts: Accounts) -> tuple[int, int]:
    return await node.tokens(accounts.base), await node.tokens(accounts.quote)


async def test_random_swaps_in_both_pools_move_what_our_mathematics_say(node: Client) -> None:
    chance, bins = random.Random(20), set()
    own = own_accounts(node, SOL_USDC)
    for _ in range(30):
        is_cpmm, sells, is_exact_in = (chance.random() < 0.5 for _ in range(3))
        amount = chance.randrange(1, 2_500 * (SOL if sells is is_exact_in else 10**8))
        pool = await (cpmm_pool if is_cpmm else dlmm_pool)(node, SOL_USDC)
        way = Direction.X_TO_Y if sells else Direction.Y_TO_X
        now = int(node.time.now)
        swap = pool.swap_exact_in if is_exact_in else pool.swap_exact_out
        fill, after = swap(amount, way, now)
        amounts = exact_in(amount, 1) if is_exact_in else exact_out(amount, MAX_U64)
        before = await held(node, own)

        told = await node.land(
            await (in_cpmm if is_cpmm else in_dlmm)(node, SOL_USDC, amounts, sells=sells)
        )

        assert told["meta"]["err"] is None
        moved = [then - was for was, then in zip(before, await held(node, own), strict=True)]
        paid = [-fill.amount_in, fill.amount_out]
        assert moved == (paid if sells else paid[::-1])
        left = await (cpmm_pool if is_cpmm else dlmm_pool)(node, SOL_USDC)
        assert in_accounts(left) == in_accounts(after)
        bins |= {left.active_id} if isinstance(left, LiquidityBinPool) else set()
        node.time.now += chance.choice((1, 20, 400, 900))
    assert len(bins) > 3


@pytest.mark.parametrize(
    ("swap", "amounts", "code"),
    [
        (in_cpmm, exact_in(SOL, 10**9), 6005),
        (in_cpmm, exact_out(10**8, SOL // 2), 6005),
        (in_cpmm, exact_in(0, 0), 2505),
        (in_dlmm, exact_in(SOL, 10**9), 6003),
        (in_dlmm, exact_out(10**8, SOL // 2), 6104),
        (in_dlmm, exact_in(0, 0), 6039),
        (in_dlmm, exact_out(2**60, MAX_U64), 6036),
    ],
)
async def test_a_swap_that_is_refused_has_the_programs_own_code(
    node: Client,
    swap: Swap,
    amounts: SwapAmounts,
    code: int,
) -> None:
    own, before = own_accounts(node, SOL_USDC), await node.lamports(node.owner)
    tokens = await held(node, own)
    instruction = await swap(node, SOL_USDC, amounts, sells=True)
    receiver = Keypair().pubkey()

    told = await node.land(
        compute_budget.limit(200_000), system.transfer(node.owner, receiver, SOL), instruction
    )

    assert told["meta"]["err"] == custom(2, code)
    assert await held(node, own) == tokens
    assert await node.lamports(node.owner) == before - 5_000
    assert await node.lamports(receiver) == 0
    assert f"failed: custom program error: {code:#x}" in told["meta"]["logMessages"][-1]


async def test_a_swap_beyond_the_reserves_panics_as_the_program_does(node: Client) -> None:
    instruction = await in_cpmm(node, SOL_USDC, exact_out(2**60, MAX_U64), sells=True)

    told = await node.land(instruction)

    assert told["meta"]["err"] == {"InstructionError": [0, "ProgramFailedToComplete"]}


async def test_native_sol_is_sold_through_an_account_for_a_moment(node: Client) -> None:
    temporary = seeded(node.owner, "a moment", TOKEN_PROGRAM)
    rent = await node.call("getMinimumBalanceForRentExemption", 165)
    own = own_accounts(node, SOL_USDC)
    through = Accounts(temporary, own.quote)
    wrapped, usdc = await held(node, own)
    for swap in (in_cpmm, in_dlmm):
        lamports = await node.lamports(node.owner)
        instruction = await swap(
            node, SOL_USDC, exact_in(SOL, 99_000_000), sells=True, user=through
        )

        told = await node.land(
            system.create_with_seed(node.owner, "a moment", rent + SOL, 165, TOKEN_PROGRAM),
            token.initialize_account(temporary, WRAPPED_SOL, node.owner),
            instruction,
            token.close_account(temporary, node.owner, node.owner),
        )

        assert told["meta"]["err"] is None
        assert await node.lamports(node.owner) == lamports - SOL - 5_000
    assert await node.tokens(own.base) == wrapped
    assert await node.tokens(own.quote) > usdc + 2 * 99_000_000


async def test_two_swaps_of_one_transaction_see_each_other(node: Client) -> None:
    pool = await cpmm_pool(node, SOL_USDC)
    first, middle = pool.swap_exact_in(4_000 * SOL, X_TO_Y)
    second, after = middle.swap_exact_in(2_000 * SOL, X_TO_Y)
    assert second.amount_out * 2 < first.amount_out
    own = own_accounts(node, SOL_USDC)
    usdc = await node.tokens(own.quote)
    sells = [
        await in_cpmm(node, SOL_USDC, exact_in(4_000 * SOL, first.amount_out), sells=True),
        await in_cpmm(node, SOL_USDC, exact_in(2_000 * SOL, second.amount_out), sells=True),
    ]

    told = await node.land(*sells)

    assert told["meta"]["err"] is None
    assert await node.tokens(own.quote) == usdc + first.amount_out + second.amount_out
    assert await cpmm_pool(node, SOL_USDC) == after


async def test_what_the_wallet_has_not_fails_at_the_swap_that_wants_it(node: Client) -> None:
    own = own_accounts(node, SOL_USDC)
    before = await held(node, own)
    half = before[0] // 2 + 1

    told = await node.land(
        await in_cpmm(node, SOL_USDC, exact_in(half, 1), sells=True),
        await in_cpmm(node, SOL_USDC, exact_in(half, 1), sells=True),
    )

    assert told["meta"]["err"] == custom(1, 1)
    assert await held(node, own) == before


async def test_two_hops_over_both_programs_are_one_transaction(node: Client) -> None:
    first, _ = (await dlmm_pool(node, JUP_SOL)).swap_exact_in(10**9, X_TO_Y, 0)
    second, _ = (await cpmm_pool(node, SOL_USDC)).swap_exact_in(first.amount_out, X_TO_Y)
    jup = own_accounts(node, JUP_SOL)
    before = await node.tokens(jup.base), await node.tokens(own_accounts(node, SOL_USDC).quote)

    told = await node.land(
        await in_dlmm(node, JUP_SOL, exact_in(10**9, first.amount_out), sells=True),
        await in_cpmm(node, SOL_USDC, exact_in(first.amount_out, second.amount_out), sells=True),
    )

    assert told["meta"]["err"] is None
    after = await node.tokens(jup.base), await node.tokens(own_accounts(node, SOL_USDC).quote)
    assert after == (before[0] - 10**9, before[1] + second.amount_out)


async def test_a_second_swap_that_is_refused_takes_the_first_back(node: Client) -> None:
    pool, own = await cpmm_pool(node, SOL_USDC), own_accounts(node, SOL_USDC)
    before = await held(node, own)

    told = await node.land(
        await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True),
        await in_dlmm(node, SOL_USDC, exact_in(SOL, MAX_U64), sells=True),
    )

    assert told["meta"]["err"] == custom(1, 6003)
    assert await held(node, own) == before
    assert await cpmm_pool(node, SOL_USDC) == pool


@pytest.mark.parametrize("swap", [in_cpmm, in_dlmm])
async def test_a_token_account_that_does_not_exist_is_told_before_the_bound(
    node: Client, swap: Swap
) -> None:
    own = own_accounts(node, SOL_USDC)
    nowhere = Accounts(own.base, Keypair().pubkey())
    for least in (1, MAX_U64):
        instruction = await swap(node, SOL_USDC, exact_in(SOL, least), sells=True, user=nowhere)
        told = await node.land(instruction)
        assert told["meta"]["err"] == custom(0, 3012)


@pytest.mark.parametrize("swap", [in_cpmm, in_dlmm])
async def test_the_tokens_of_another_wallet_cannot_be_sold(node: Client, swap: Swap) -> None:
    trader = node.cluster.keys.trader.pubkey()
    own = own_accounts(node, SOL_USDC)
    theirs = Accounts(associated_token_account(trader, WRAPPED_SOL), own.quote)

    instruction = await swap(node, SOL_USDC, exact_in(SOL, 1), sells=True, user=theirs)
    told = await node.land(instruction)

    assert told["meta"]["err"] == custom(0, 4)


@pytest.mark.parametrize(
    ("swap", "place", "code"),
    [
        (in_cpmm, 1, 2006),
        (in_cpmm, 2, 2012),
        (in_cpmm, 3, 3012),
        (in_cpmm, 6, 2003),
        (in_cpmm, 7, 2003),
        (in_cpmm, 10, 2012),
        (in_cpmm, 12, 2012),
        (in_dlmm, 0, 3012),
        (in_dlmm, 2, 2001),
        (in_dlmm, 3, 2001),
        (in_dlmm, 6, 2001),
        (in_dlmm, 8, 2001),
        (in_dlmm, 14, 2006),
    ],
)
async def test_a_swap_that_names_another_account_is_refused(
    node: Client, swap: Swap, place: int, code: int
) -> None:
    instruction = await swap(node, SOL_USDC, exact_in(SOL, 1), sells=True)
    metas = list(instruction.accounts)
    metas[place] = AccountMeta(Keypair().pubkey(), False, metas[place].is_writable)

    told = await node.land(Instruction(instruction.program_id, instruction.data, metas))

    assert told["meta"]["err"] == custom(0, code)


async def test_a_pool_of_another_market_is_no_way_to_its_vaults(node: Client) -> None:
    here = await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True)
    metas = list(here.accounts)
    metas[3] = AccountMeta(JUP_SOL.cpmm, False, True)

    told = await node.land(Instruction(here.program_id, here.data, metas))

    assert told["meta"]["err"] == custom(0, 2003)


async def test_a_bin_array_that_is_not_named_fails_the_swap_that_needs_it(node: Client) -> None:
    pair = read_lb_pair(await node.data(SOL_USDC.pair))
    indexes = arrays_with_liquidity(pair.bitmap)
    below = [index for index in indexes if index <= pair.active_id // 70][::-1]
    far = exact_in(80_000 * SOL, 1)  # more than the wallet has, which is looked at later

    for arrays, code in ((below[:1], 3005), (below[1:], 3005), (below, 1)):
        swap = await in_dlmm(node, SOL_USDC, far, sells=True, arrays=arrays)
        told = await node.land(compute_budget.limit(1_400_000), swap)
        assert told["meta"]["err"] == custom(1, code)


async def test_the_older_forms_of_the_dlmm_swap_are_known_too(node: Client) -> None:
    newer = await in_dlmm(node, SOL_USDC, exact_in(SOL, 1), sells=True)
    metas = newer.accounts[:13] + newer.accounts[14:]
    older = discriminator_of_instruction("swap") + bytes(newer.data[8:24])
    usdc = await node.tokens(own_accounts(node, SOL_USDC).quote)

    told = await node.land(Instruction(DLMM_PROGRAM, older, metas))

    assert told["meta"]["err"] is None
    assert await node.tokens(own_accounts(node, SOL_USDC).quote) > usdc + 98_000_000


async def test_an_instruction_that_is_no_swap_is_refused(node: Client) -> None:
    swap = await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True)

    told = await node.land(Instruction(swap.program_id, b"\0" * 24, swap.accounts))

    assert told["meta"]["err"] == custom(0, 101)


async def test_a_swap_that_needs_more_units_than_its_limit_fails(node: Client) -> None:
    pool = await cpmm_pool(node, SOL_USDC)
    before = await node.lamports(node.owner)
    swap = await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True)

    told = await node.land(compute_budget.limit(20_000), swap)

    assert told["meta"]["err"] == {"InstructionError": [1, "ComputationalBudgetExceeded"]}
    assert await cpmm_pool(node, SOL_USDC) == pool
    assert await node.lamports(node.owner) == before - 5_000


async def test_the_record_has_the_transfers_inside_the_swap(node: Client) -> None:
    fill, _ = (await cpmm_pool(node, SOL_USDC)).swap_exact_in(SOL, X_TO_Y)

    told = await node.land(await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True))

    (swap,) = [one for one in told["meta"]["innerInstructions"] if one["index"] == 0]
    assert [len(one["accounts"]) for one in swap["instructions"]] == [4, 4]
    logs = told["meta"]["logMessages"]
    assert logs[1] == "Program log: Instruction: SwapBaseInput"
    assert f"Program {TOKEN_PROGRAM} invoke [2]" in logs
    usdc = str(mint_of(SOL_USDC.market.quote))
    before, after = (
        [
            int(one["uiTokenAmount"]["amount"])
            for one in told["meta"][when]
            if one["mint"] == usdc and one["owner"] == str(node.owner)
        ]
        for when in ("preTokenBalances", "postTokenBalances")
    )
    assert after[0] - before[0] == fill.amount_out


async def test_a_simulated_swap_is_the_swap(node: Client) -> None:
    own = own_accounts(node, SOL_USDC)
    signed = await node.signed(await in_dlmm(node, SOL_USDC, exact_in(SOL, 1), sells=True))
    accounts = {"encoding": "base64", "addresses": [str(own.quote)]}
    before = await node.tokens(own.quote)

    value = await node.simulated(signed, accounts=accounts)
    assert await node.tokens(own.quote) == before
    await node.send(signed)
    await node.advance()

    data = base64.b64decode(value["accounts"][0]["data"][0])
    assert int.from_bytes(data[64:72], "little") == await node.tokens(own.quote) > before
    assert 40_000 < value["unitsConsumed"] < 50_000


def in_accounts(pool: ConstantProductPool | LiquidityBinPool) -> object:
    """Return what a pool's accounts hold: they do not tell what providers have earned."""
    if isinstance(pool, ConstantProductPool):
        return pool
    bins = tuple(one for one in pool.bins if one.amount_x or one.amount_y)
    return pool._replace(bins=bins, lp_fees_x=0, lp_fees_y=0, rounding_x=0, rounding_y=0)
