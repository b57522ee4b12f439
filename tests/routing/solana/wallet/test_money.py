"""A simulation says what the wallet would lose and gain; too much or too little is told."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey

from routing.solana.addresses import SYSTEM_PROGRAM, TOKEN_PROGRAM, WRAPPED_SOL
from routing.solana.wallet.money import AccountState, Holdings, check_money, holdings_of
from routing.solana.wallet.permit import TransactionForbidden
from tests.routing.solana.recorded import USDC_MINT, USER, USER_SOL, USER_USDC
from tests.routing.solana.trades import RENT, SHAPES, SOL, TIP, USDC
from tests.routing.solana.wallet.test_structure import permit_for

SELL, BUY = permit_for(SHAPES["sell on CPMM"]), permit_for(SHAPES["buy on CPMM"])
COSTS = 5_000 + 200 + TIP.lamports
STRANGER = Pubkey.new_unique()
OTHER_MINT = Pubkey.new_unique()


def token_account(
    mint: Pubkey, amount: int, owner: Pubkey = USER, *, delegate: bool = False, closer: bool = False
) -> AccountState:
    data = bytearray(165)
    data[:72] = bytes(mint) + bytes(owner) + amount.to_bytes(8, "little")
    data[108] = 1
    if delegate:
        data[72:108] = (1).to_bytes(4, "little") + bytes(STRANGER)
    if closer:
        data[129:165] = (1).to_bytes(4, "little") + bytes(STRANGER)
    native = amount if mint == WRAPPED_SOL else 0
    return AccountState(RENT + native, TOKEN_PROGRAM, bytes(data))


def wallet(lamports: int) -> AccountState:
    return AccountState(lamports, SYSTEM_PROGRAM)


def test_sol_counts_in_all_its_forms() -> None:
    held = holdings_of(
        USER,
        {
            USER: wallet(3 * SOL),
            USER_SOL: token_account(WRAPPED_SOL, SOL),
            USER_USDC: token_account(USDC_MINT, 77),
            STRANGER: None,
        },
    )

    assert held == Holdings(4 * SOL + 2 * RENT, {USDC_MINT: 77})


@pytest.mark.parametrize(
    "lost",
    [
        token_account(USDC_MINT, 77, owner=STRANGER),
        token_account(USDC_MINT, 77, delegate=True),
        token_account(USDC_MINT, 77, closer=True),
        AccountState(RENT, STRANGER, token_account(USDC_MINT, 77).data),
        AccountState(RENT, TOKEN_PROGRAM, b"short"),
    ],
)
def test_an_account_that_another_may_empty_holds_nothing(lost: AccountState) -> None:
    assert holdings_of(USER, {USER: wallet(5), USER_USDC: lost}) == Holdings(5, {})


@pytest.mark.parametrize(
    ("sol", "usdc", "allowed"),
    [
        (-3 * SOL // 2, 149 * USDC, True),
        (-3 * SOL // 2 - COSTS, 149 * USDC, True),
        (-3 * SOL // 2 - COSTS - 1, 149 * USDC, False),
        (-3 * SOL // 2, 149 * USDC - 1, False),
        (0, 0, False),
    ],
)
def test_a_sale_loses_its_input_and_costs_and_gains_its_least(
    sol: int, usdc: int, allowed: bool
) -> None:
    before = Holdings(5 * SOL, {USDC_MINT: 10, OTHER_MINT: 4})
    after = Holdings(5 * SOL + sol, {USDC_MINT: 10 + usdc, OTHER_MINT: 4})

    if allowed:
        check_money(before, after, SELL)
    else:
        with pytest.raises(TransactionForbidden):
            check_money(before, after, SELL)


@pytest.mark.parametrize(
    ("sol", "usdc", "allowed"),
    [
        (SOL, -150 * USDC, True),
        (SOL - COSTS, -150 * USDC, True),
        (SOL - COSTS - 1, -150 * USDC, False),
        (SOL, -150 * USDC - 1, False),
    ],
)
def test_a_purchase_of_sol_gains_it_less_the_costs(sol: int, usdc: int, allowed: bool) -> None:
    before, after = (
        Holdings(SOL, {USDC_MINT: 10**9}),
        Holdings(SOL + sol, {USDC_MINT: 10**9 + usdc}),
    )

    if allowed:
        check_money(before, after, BUY)
    else:
        with pytest.raises(TransactionForbidden):
            check_money(before, after, BUY)


def test_of_other_tokens_the_wallet_loses_nothing() -> None:
    before = Holdings(5 * SOL, {USDC_MINT: 0, OTHER_MINT: 4})
    after = Holdings(5 * SOL, {USDC_MINT: 149 * USDC, OTHER_MINT: 3})

    with pytest.raises(TransactionForbidden, match=f"loses 1 of {OTHER_MINT}"):
        check_money(before, after, SELL)
    with pytest.raises(TransactionForbidden, match=f"loses 4 of {OTHER_MINT}"):
        check_money(before, Holdings(5 * SOL, {USDC_MINT: 149 * USDC}), SELL)


def test_a_token_that_the_wallet_never_saw_was_not_gained() -> None:
    permit = replace(SELL, takes=SELL.takes._replace(mint=OTHER_MINT))

    with pytest.raises(TransactionForbidden, match="gains nothing of"):
        check_money(Holdings(5 * SOL, {}), Holdings(5 * SOL, {}), permit)
