"""Fills and failures, from what the network records of a transaction."""

import copy
from typing import Any

import pytest
from solders.pubkey import Pubkey

from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    CPMM_PROGRAM,
    DLMM_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    associated_token_account,
)
from routing.solana.records.failures import failure_of
from routing.solana.records.fills import (
    NotTheWallets,
    UnexpectedMoves,
    landed,
    moves_of,
    tip_in,
)
from routing.solana.records.record import Record, UnreadableRecord, read_record
from routing.solana.records.traded import NotASwap, traded_mints
from routing.solana.transactions.message import message_of, with_signature
from routing.venue import Landed
from tests.routing.solana.recorded import (
    RECORDED,
    USDC_MINT,
    USER,
    USER_SOL,
    USER_USDC,
    key,
)
from tests.routing.solana.trades import (
    BLOCK,
    BUY_ON_CPMM,
    OTHER,
    SELL_ON_CPMM,
    SHAPES,
    TIP,
)

SOLD, BOUGHT = RECORDED["fills"]
OWNER = key(SOLD["owner"])
RENT = 2_039_280


def record_of(fill: dict[str, Any], **changes: Any) -> Record:
    keys = [key(one) for one in fill["account_keys"]]
    return read_record(keys, fill["meta"] | changes)


def test_native_sol_that_was_sold_is_told_from_rent_and_fees() -> None:
    moves = moves_of(record_of(SOLD), OWNER)

    assert moves.by_mint == {WRAPPED_SOL: -1_000_000_000, USDC_MINT: 107_332_647}
    assert (moves.fee, moves.tip, moves.rent) == (5_750, 0, RENT)
    assert landed(moves, gives=WRAPPED_SOL, takes=USDC_MINT) == Landed(
        1_000_000_000, 107_332_647, 5_750, rent=RENT
    )


def test_sol_that_was_bought_and_unwrapped_is_told_from_fees() -> None:
    moves = moves_of(record_of(BOUGHT), OWNER)

    assert moves.by_mint == {WRAPPED_SOL: 463_540_965, USDC_MINT: -50_000_000}
    assert (moves.fee, moves.rent) == (5_750, 0)
    assert landed(moves, gives=USDC_MINT, takes=WRAPPED_SOL).amount_out == 463_540_965


def with_tip(fill: dict[str, Any], tip: int) -> dict[str, Any]:
    """The same, but the wallet also sent a tip to an account that the record names last."""
    meta = copy.deepcopy(fill["meta"])
    meta["postBalances"][0] -= tip
    meta["preBalances"].append(0)
    meta["postBalances"].append(tip)
    return fill | {"meta": meta, "account_keys": [*fill["account_keys"], str(TIP.receiver)]}


def test_a_tip_is_a_cost_and_no_part_of_the_fill() -> None:
    moves = moves_of(record_of(with_tip(SOLD, 5_000)), OWNER, tip=5_000)

    assert moves.by_mint[WRAPPED_SOL] == -1_000_000_000
    assert landed(moves, gives=WRAPPED_SOL, takes=USDC_MINT).network_fee == 5_750 + 5_000


def account_of_owner(place: int, mint: Pubkey, amount: int) -> dict[str, Any]:
    owner, text = str(OWNER), str(amount)
    return {
        "accountIndex": place,
        "mint": str(mint),
        "owner": owner,
        "uiTokenAmount": {"amount": text},
    }


def test_what_a_first_hop_left_over_is_no_part_of_the_fill() -> None:
    middle = Pubkey.new_unique()
    after = [*SOLD["meta"]["postTokenBalances"], account_of_owner(6, middle, 33)]
    moves = moves_of(record_of(SOLD, postTokenBalances=after), OWNER)

    assert moves.by_mint[middle] == 33
    fill = landed(moves, gives=WRAPPED_SOL, takes=USDC_MINT)
    assert (fill.amount_in, fill.amount_out) == (1_000_000_000, 107_332_647)


def test_wrapped_sol_of_the_wallet_counts_as_sol_without_its_rent() -> None:
    """The wallet's own wrapped account is made, with 7 atoms in it, out of the payer's lamports."""
    meta = copy.deepcopy(SOLD["meta"])
    meta["postBalances"][0] -= RENT + 7
    meta["postBalances"][6] += RENT + 7
    meta["postTokenBalances"].append(account_of_owner(6, WRAPPED_SOL, 7))
    moves = moves_of(record_of(SOLD | {"meta": meta}), OWNER)

    assert moves.by_mint[WRAPPED_SOL] == -1_000_000_000
    assert moves.rent == 2 * RENT


def test_rent_that_comes_back_is_told() -> None:
    meta = copy.deepcopy(SOLD["meta"])
    for before, after in (
        ("preBalances", "postBalances"),
        ("preTokenBalances", "postTokenBalances"),
    ):
        meta[before], meta[after] = meta[after], meta[before]
    meta["preBalances"][0] += 2 * 5_750
    moves = moves_of(record_of(SOLD | {"meta": meta}), OWNER)

    assert moves.rent == -RENT


def test_a_record_of_another_payer_is_refused() -> None:
    with pytest.raises(NotTheWallets):
        moves_of(record_of(SOLD), USER)


@pytest.mark.parametrize(
    ("gives", "takes"), [(USDC_MINT, WRAPPED_SOL), (WRAPPED_SOL, USER), (USER, USDC_MINT)]
)
def test_a_transaction_that_did_not_do_the_orders_swap_is_told(
    gives: Pubkey, takes: Pubkey
) -> None:
    with pytest.raises(UnexpectedMoves):
        landed(moves_of(record_of(SOLD), OWNER), gives=gives, takes=takes)


@pytest.mark.parametrize(
    "changes",
    [
        {"preBalances": [1, 2]},
        {"preBalances": "many"},
        {"fee": None},
        {"fee": -1},
        {"fee": True},
        {"postTokenBalances": [{"accountIndex": 0}]},
        {"postTokenBalances": [account_of_owner(99, USDC_MINT, 1)]},
        {"loadedAddresses": {"writable": [str(USER)]}},
        {"loadedAddresses": {"writable": ["?"]}},
        {"postTokenBalances": [account_of_owner(0, USDC_MINT, 1) | {"owner": "?"}]},
    ],
)
def test_an_answer_that_is_no_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord):
        record_of(SOLD, **changes)


def test_accounts_from_tables_stand_behind_the_others() -> None:
    keys = [key(one) for one in SOLD["account_keys"]]
    loaded = {"writable": [str(keys[-2])], "readonly": [str(keys[-1])]}

    read = read_record(keys[:-2], SOLD["meta"] | {"loadedAddresses": loaded})
    assert read == record_of(SOLD)


def test_the_tip_is_read_from_our_own_bytes() -> None:
    message = message_of(USER, SHAPES["sell on CPMM"].instructions(USER), BLOCK.hash)
    payload = with_signature(message, bytes(64))
    balances = {"preBalances": [0] * len(message.account_keys), "err": None, "fee": 5_000}
    record = read_record(message.account_keys, balances | {"postBalances": balances["preBalances"]})

    assert tip_in(payload, record, {TIP.receiver}) == TIP.lamports
    assert tip_in(payload, record, {USER}) == 0


@pytest.mark.parametrize(
    ("name", "gives", "takes"),
    [
        ("sell on CPMM", WRAPPED_SOL, USDC_MINT),
        ("buy on CPMM", USDC_MINT, WRAPPED_SOL),
        ("sell on DLMM", WRAPPED_SOL, USDC_MINT),
        ("buy on DLMM", USDC_MINT, WRAPPED_SOL),
        ("sell wrapped", WRAPPED_SOL, USDC_MINT),
        ("sell on both", WRAPPED_SOL, USDC_MINT),
        ("two hops", WRAPPED_SOL, OTHER.mint),
    ],
)
def test_what_a_transaction_trades_is_read_from_its_instructions(
    name: str, gives: Pubkey, takes: Pubkey
) -> None:
    assert traded_mints(SHAPES[name].instructions(USER)) == (gives, takes)


def test_a_transaction_that_is_no_trade_is_told() -> None:
    wrapped, hops = SHAPES["sell wrapped"].instructions(USER), SHAPES["two hops"].legs
    sold_alone = hops[1].instruction(
        USER,
        {
            mint: associated_token_account(USER, mint)
            for mint in (hops[1].asset_in.mint, hops[1].asset_out.mint)
        },
    )
    bought_twice = BUY_ON_CPMM.instruction(USER, {USDC_MINT: USER_USDC, WRAPPED_SOL: USER_SOL})
    others = SELL_ON_CPMM.instruction(USER, {USDC_MINT: USER, WRAPPED_SOL: USER_SOL})

    for parts, reason in (
        ([], "does not trade one mint"),
        ([*wrapped, bought_twice], "does not trade one mint"),
        ([bought_twice, sold_alone], "does not trade one mint"),
        ([others], "not the wallet's own"),
    ):
        with pytest.raises(NotASwap, match=reason):
            traded_mints(parts)


PROGRAMS = [
    COMPUTE_BUDGET_PROGRAM,
    CPMM_PROGRAM,
    DLMM_PROGRAM,
    TOKEN_PROGRAM,
    SYSTEM_PROGRAM,
    ASSOCIATED_TOKEN_PROGRAM,
]


def custom(place: int, number: int) -> dict[str, Any]:
    return {"InstructionError": [place, {"Custom": number}]}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (custom(1, 6005), "slippage_exceeded"),
        (custom(1, 1), "insufficient_funds"),
        (custom(1, 3012), "insufficient_funds"),
        (custom(1, 6000), "pool_disabled"),
        (custom(1, 2505), "insufficient_liquidity"),
        (custom(2, 6003), "slippage_exceeded"),
        (custom(2, 6104), "slippage_exceeded"),
        (custom(2, 3005), "slippage_exceeded"),
        (custom(2, 6036), "slippage_exceeded"),
        (custom(2, 6039), "insufficient_liquidity"),
        (custom(2, 6042), "pool_disabled"),
        (custom(2, 6085), "limit_order_rounding"),
        (custom(2, 6005), "6005"),  # another meaning there
        (custom(1, 6003), "6003"),
        (custom(3, 1), "insufficient_funds"),
        (custom(4, 1), "insufficient_funds"),
        (custom(5, 1), "insufficient_funds"),
        (custom(0, 1), "1"),
        (custom(9, 6005), "6005"),
        ({"InstructionError": [0, "ComputationalBudgetExceeded"]}, "ComputationalBudgetExceeded"),
        ({"InstructionError": [4, "InsufficientFunds"]}, "insufficient_funds"),
        ({"InsufficientFundsForRent": {"account_index": 0}}, "insufficient_funds"),
        ("InsufficientFundsForFee", "insufficient_funds"),
        ("BlockhashNotFound", "BlockhashNotFound"),
        ({"InstructionError": "?"}, "InstructionError"),
        ({}, "unknown"),
        (7, "unknown"),
    ],
)
def test_an_error_is_told_in_our_words_or_by_its_own_name(error: Any, code: str) -> None:
    failure = failure_of(error, PROGRAMS)

    assert failure.code == code
    assert failure.reason
