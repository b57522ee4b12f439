from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from orders.api.problems import invalid_fields
from orders.api.reading.fields import whole_number
from orders.api.reading.parsers import parse_json
from orders.api.reading.serializers import InvalidOrder, OrderRequestSerializer, read_new_order
from orders.engine.submission import OrderRequest
from orders.representation import decimal
from routing.tokens import (
    BONK,
    JUP,
    RAY,
    REGISTRY,
    SOL,
    TOKENS,
    USDC,
    USDT,
    WSOL,
    Market,
    Registry,
    Token,
)
from routing.venue import Side
from routing.venues import LABELS

MOST_ATOMS = 2**63 - 1
SERIALIZER = OrderRequestSerializer()
SELL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
BUY = {"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "100"}


def read(sent: Any) -> OrderRequest:
    return SERIALIZER.read(sent)


def refusals(sent: Any) -> dict[str, str]:
    """Return the code of the refusal of each field."""
    with pytest.raises(InvalidOrder) as refused:
        read(sent)
    return {one["field"]: one["code"] for one in invalid_fields(refused.value)["errors"]}


def message(sent: Any) -> str:
    with pytest.raises(InvalidOrder) as refused:
        read(sent)
    return str(invalid_fields(refused.value)["detail"])


def order(
    market: str, side: Side, amount_in: int | None, amount_out: int | None, bps: int
) -> OrderRequest:
    base, quote = map(REGISTRY.token, market.split("/"))
    return OrderRequest("market", REGISTRY.market(base, quote), side, amount_in, amount_out, bps)


@pytest.mark.parametrize(
    ("dialect", "sent", "meant"),
    [
        (
            "A",
            {"type": "market", "side": "buy", "amount": 10},
            order("SOL/USDC", Side.BUY, None, 10_000_000_000, 100),
        ),
        (
            "A, a sale",
            {"type": "market", "side": "SELL", "amount": "10"},
            order("SOL/USDC", Side.SELL, 10_000_000_000, None, 100),
        ),
        (
            "what is paid, in the default market",
            {"side": "buy", "amountIn": 10},
            order("SOL/USDC", Side.BUY, 10_000_000, None, 100),
        ),
        (
            "a sale by base and quote, in one of which alone its amount can be",
            {"baseToken": "SOL", "quoteToken": "USDC", "side": "sell", "amount": 2},
            order("SOL/USDC", Side.SELL, 2_000_000_000, None, 100),
        ),
        (
            "a purchase by in and out, with the side said twice",
            {"tokenIn": "USDC", "tokenOut": "SOL", "side": "buy", "amount": 20},
            order("SOL/USDC", Side.BUY, 20_000_000, None, 100),
        ),
        (
            "B and C, a sale",
            {
                "baseToken": "SOL",
                "quoteToken": "USDC",
                "side": "sell",
                "amountIn": "1.5",
                "slippageBps": 50,
            },
            order("SOL/USDC", Side.SELL, 1_500_000_000, None, 50),
        ),
        (
            "B and C, a purchase by the default tolerance",
            {"baseToken": "JUP", "quoteToken": "SOL", "side": "buy", "amountIn": 2},
            order("JUP/SOL", Side.BUY, 2_000_000_000, None, 100),
        ),
        (
            "D",
            {"tokenIn": "SOL", "tokenOut": "USDC", "amount": Decimal("0.5"), "slippage": "0.01"},
            order("SOL/USDC", Side.SELL, 500_000_000, None, 100),
        ),
        (
            "E",
            {"orderType": "market", "tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "20"},
            order("SOL/USDC", Side.BUY, 20_000_000, None, 100),
        ),
        (
            "what must arrive",
            {"tokenIn": "USDC", "tokenOut": "BONK", "amountOut": "0.00001", "slippageBps": "0"},
            order("BONK/USDC", Side.BUY, None, 1, 0),
        ),
        (
            "what must arrive of a sale, with the side said twice",
            {"tokenIn": "SOL", "tokenOut": "USDT", "side": "sell", "amountOut": "7.25"},
            order("SOL/USDT", Side.SELL, None, 7_250_000, 100),
        ),
    ],
)
def test_every_dialect_is_understood(
    dialect: str, sent: dict[str, Any], meant: OrderRequest
) -> None:
    assert read(sent) == meant


@pytest.mark.parametrize("token_in", ["sol", "Sol", SOL.mint, f" {SOL.mint} ", " SOL\n"])
@pytest.mark.parametrize("token_out", ["usdc", "UsDc", USDC.mint])
def test_a_token_is_its_symbol_in_any_case_or_its_mint(token_in: str, token_out: str) -> None:
    assert read(SELL | {"tokenIn": token_in, "tokenOut": token_out}) == read(SELL)


@pytest.mark.parametrize("changed", [{"type": "MARKET"}, {"orderType": "Market"}, {"side": "SELL"}])
def test_words_may_be_in_any_letter_case(changed: dict[str, str]) -> None:
    assert read(SELL | changed) == read(SELL)


def test_wrapped_sol_trades_like_sol_and_keeps_its_name() -> None:
    market = read(SELL | {"tokenIn": "WSOL"}).market
    assert (market.base, market.quote) == (WSOL, USDC)


def test_null_means_not_given() -> None:
    assert read(SELL | dict.fromkeys(["amount", "amountOut", "side", "slippage"])) == read(SELL)


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        (SELL | {"tokenOut": "WSOL"}, {"tokenIn": "same_asset"}),
        (SELL | {"tokenOut": SOL.mint}, {"tokenIn": "same_asset"}),
        (SELL | {"tokenOut": "sol"}, {"tokenIn": "same_asset"}),
        (SELL | {"tokenIn": "DOGE"}, {"tokenIn": "unknown_token"}),
        (SELL | {"tokenIn": SOL.mint.lower()}, {"tokenIn": "unknown_token"}),
        ({"tokenIn": "SOL", "amount": 1}, {"tokenOut": "required"}),
        ({"tokenOut": "SOL", "amount": 1}, {"tokenIn": "required"}),
        (
            {"baseToken": "SOL", "side": "buy", "amount": 1},
            {"quoteToken": "required", "amount": "ambiguous"},
        ),
        ({"baseToken": "SOL", "side": "buy", "amountIn": 1}, {"quoteToken": "required"}),
        (
            {"baseToken": "SOL", "quoteToken": "USDC", "side": "BUY", "amount": 1},
            {"amount": "ambiguous"},
        ),
        ({"side": "buy", "amount": 1, "amountIn": 1}, {"amount": "conflict"}),
        ({"side": "buy", "amount": 1, "amountOut": 1}, {"amountOut": "conflict"}),
        (
            {"baseToken": "USDC", "quoteToken": "SOL", "side": "buy", "amountIn": 1},
            {"baseToken": "unknown_market"},
        ),
        ({"baseToken": "SOL", "quoteToken": "USDC", "amount": 1}, {"side": "required"}),
        ({"amount": 1}, {"side": "required"}),
        ({"side": "hold", "amount": 1}, {"side": "invalid_side"}),
        (SELL | {"side": "buy"}, {"side": "conflict"}),
        (SELL | {"baseToken": "SOL"}, {"tokenIn": "conflict"}),
        (SELL | {"amount": "1.5"}, {"amount": "conflict"}),
        (SELL | {"amountOut": "1"}, {"amountOut": "conflict"}),
        (SELL | {"amountIn": None}, {"amountIn": "required"}),
        (SELL | {"type": "iceberg"}, {"type": "unsupported_type"}),
        (SELL | {"orderType": "peg"}, {"orderType": "unsupported_type"}),
        (SELL | {"type": "market", "orderType": "market"}, {"orderType": "conflict"}),
        (SELL | {"slippage": "0.01", "slippageBps": 100}, {"slippage": "conflict"}),
        ({}, {"side": "required", "amountIn": "required"}),
    ],
)
def test_an_order_that_contradicts_itself_or_lacks_something_is_refused_by_field(
    sent: dict[str, Any], refused: dict[str, str]
) -> None:
    assert refusals(sent) == refused


@pytest.mark.parametrize("field", ["amountIn", "amount", "amountOut"])
@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, "out_of_range"),
        ("0.0", "out_of_range"),
        ("-0", "out_of_range"),
        (-5, "out_of_range"),
        ("-0.000000001", "out_of_range"),
        ("1e309", "out_of_range"),
        (Decimal("1E309"), "out_of_range"),
        (10**400, "out_of_range"),
        ("9223372036854.775808", "out_of_range"),
        ("1e20", "out_of_range"),
        ("1e-7", "too_precise"),
        ("1.1234567", "too_precise"),
        ("1." + "0" * 39 + "1", "too_precise"),
        (Decimal("0." + "3" * 5_000), "too_precise"),
        ("NaN", "invalid_number"),
        ("Infinity", "invalid_number"),
        ("-inf", "invalid_number"),
        ("0x10", "invalid_number"),
        ("1_000", "invalid_number"),
        ("1,5", "invalid_number"),
        ("\uff11", "invalid_number"),
        ("1e99999", "invalid_number"),
        ("1" * 65, "invalid_number"),
        ("", "invalid_number"),
        ("1\x00", "invalid_number"),
        (True, "invalid_number"),
        (False, "invalid_number"),
        ([1], "invalid_number"),
        ({"value": 1}, "invalid_number"),
        (1.5, "invalid_number"),
    ],
)
def test_an_amount_nobody_can_pay_is_refused(field: str, amount: Any, code: str) -> None:
    sent = {"tokenIn": "USDC", "tokenOut": "USDT", field: amount}
    assert refusals(sent) == {field: code}


@pytest.mark.parametrize(
    ("amount", "atoms"),
    [
        ("1", 1_000_000),
        ("+1.", 1_000_000),
        (".5", 500_000),
        ("0.000001", 1),
        ("1e-6", 1),
        (" 1.50 ", 1_500_000),
        ("1.000000000000000000000000000000000000", 1_000_000),
        ("9223372036854.775807", MOST_ATOMS),
        (Decimal("2.5"), 2_500_000),
        (9_223_372_036_854, 9_223_372_036_854_000_000),
    ],
)
def test_an_amount_is_read_to_the_last_atom(amount: Any, atoms: int) -> None:
    assert read(BUY | {"amountIn": amount}).amount_in == atoms


@pytest.mark.parametrize(
    ("tolerance", "bps"),
    [
        ({}, 100),
        ({"slippageBps": 0}, 0),
        ({"slippageBps": "50"}, 50),
        ({"slippageBps": Decimal("50.0")}, 50),
        ({"slippageBps": 5000}, 5000),
        ({"slippage": 0}, 0),
        ({"slippage": Decimal("0.0001")}, 1),
        ({"slippage": "0.01"}, 100),
        ({"slippage": Decimal("0.1")}, 1000),
    ],
)
def test_a_tolerance_means_what_it_says_and_zero_means_zero(
    tolerance: dict[str, Any], bps: int
) -> None:
    assert read(SELL | tolerance).slippage_bps == bps


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("slippageBps", 5001, "out_of_range"),
        ("slippageBps", -1, "out_of_range"),
        ("slippageBps", Decimal("1.5"), "too_precise"),
        ("slippageBps", "1." + "0" * 40 + "1", "too_precise"),
        ("slippageBps", True, "invalid_number"),
        ("slippageBps", "1%", "invalid_number"),
        ("slippage", Decimal("0.5"), "out_of_range"),
        ("slippage", "0.1001", "out_of_range"),
        ("slippage", "1e-1000", "invalid_number"),
        ("slippage", "0.1" + "0" * 40 + "1", "out_of_range"),
        ("slippage", 1, "out_of_range"),
        ("slippage", "-0.01", "out_of_range"),
        ("slippage", "0.00001", "too_precise"),
        ("slippage", "0.01" + "0" * 40 + "1", "too_precise"),
        ("slippage", "0.0" + "9" * 60, "too_precise"),
        ("slippage", [], "invalid_number"),
    ],
)
def test_a_tolerance_out_of_bounds_is_refused(field: str, value: Any, code: str) -> None:
    assert refusals(SELL | {field: value}) == {field: code}


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("0.5", "0.5 would be 50 % here"),
        (Decimal("1.0"), "1 would be 100 % here"),
        (50, "50 would be 5000 % here"),
        ("0.125", "0.125 would be 12.5 % here"),
        ("1e3", "1000 would be 100000 % here"),
        ("0.1" + "0" * 40 + "1", "0.100000000001 would be 10.0000000001 % here"),
    ],
)
def test_who_writes_percent_is_told_what_it_would_be_as_a_fraction(sent: Any, told: str) -> None:
    said = message(SELL | {"slippage": sent})
    assert told in said
    assert "slippageBps: 100 is 1 %" in said


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *((name, "slippageBps: 100 is 1 %") for name in ("slippageTolerance", "maxSlippage")),
        *((name, "slippageBps: 100 is 1 %") for name in ("slippagePct", "slippagePercent")),
        *((name, "slippageBps: 100 is 1 %") for name in ("slippage_bps", "tolerance")),
        ("priceImpact", "maxPriceImpactBps: 100 is 1 %"),
        *((name, "in whole tokens") for name in ("amountLamports", "quantity", "AMOUNT", "size")),
        *((name, "Idempotency-Key") for name in ("idempotencyKey", "idempotency_key")),
    ],
)
def test_a_field_whose_unit_cannot_be_told_is_refused_with_the_one_that_tells_it(
    name: str, field: str
) -> None:
    assert refusals(SELL | {name: "0.5"}) == {name: "unknown_field"}
    assert field in message(SELL | {name: "0.5"})


def test_the_amount_of_a_purchase_that_may_be_of_either_token_is_refused_with_both() -> None:
    said = message({"baseToken": "JUP", "quoteToken": "SOL", "side": "buy", "amount": 1})
    assert "amountIn, the SOL that you pay, or amountOut, the JUP that you get" in said


@given(
    st.sampled_from(["tokenIn", "tokenOut", "baseToken", "quoteToken"]),
    st.sampled_from([token.symbol for token in TOKENS]),
    st.sampled_from(["buy", "BUY", "sell", "Sell"]),
    st.decimals(Decimal("0.01"), 100, places=2),
)
def test_an_amount_beside_a_side_alone_is_of_the_base_token_and_beside_any_token_never_turned(
    field: str, symbol: str, side: str, amount: Decimal
) -> None:
    alone = read({"side": side, "amount": amount})
    fixed = alone.amount_out if alone.side is Side.BUY else alone.amount_in

    assert fixed == alone.market.base.to_atoms(amount)
    partner = {"tokenIn": "tokenOut", "tokenOut": "tokenIn"}.get(field) or (
        "quoteToken" if field == "baseToken" else "baseToken"
    )
    for other in TOKENS:
        try:
            named = read({field: symbol, partner: other.symbol, "side": side, "amount": amount})
        except InvalidOrder:
            continue
        assert named.amount_out is None
        assert named.side is Side.SELL or field.startswith("token")


@pytest.mark.parametrize(
    "name",
    ["slipage", "limitprice", "amount_in", "AMOUNT", "__proto__", "constructor", "__class__", ""],
)
def test_an_unknown_field_is_refused_by_name(name: str) -> None:
    assert refusals(SELL | {name: "1"}) == {name: "unknown_field"}


def test_a_refusal_says_which_fields_were_seen() -> None:
    with pytest.raises(InvalidOrder) as refused:
        read(SELL | {"amountIn": "-1", "side": None})
    assert invalid_fields(refused.value)["fields"] == ["amountIn", "tokenIn", "tokenOut"]


def test_a_refusal_names_every_unreadable_field_at_once() -> None:
    sent = SELL | {"amountIn": [], "slippage": "much", "side": 1}
    assert set(refusals(sent)) == {"amountIn", "slippage", "side"}


@pytest.mark.parametrize(
    "field", ["tokenIn", "tokenOut", "baseToken", "quoteToken", "side", "type"]
)
@pytest.mark.parametrize("value", ["", "   ", "x" * 65, 1, True, ["SOL"], {"symbol": "SOL"}])
def test_a_word_is_a_short_text(field: str, value: Any) -> None:
    assert refusals(SELL | {field: value})[field] == "invalid_text"


@pytest.mark.parametrize("sent", [None, [], [SELL], "order", 1, Decimal(1), True])
def test_only_an_object_is_an_order(sent: Any) -> None:
    assert refusals(sent) == {"order": "not_an_object"}


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?", fullmatch=True)
    | st.sampled_from([token.symbol for token in TOKENS] + [token.mint for token in TOKENS])
    | st.sampled_from(["buy", "sell", "market", "0.01", "1", "100"])
)
json_values = st.recursive(
    scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3)
)
any_field = st.sampled_from(sorted(SERIALIZER.fields)) | st.text()
sound_orders = st.sampled_from(
    [SELL, BUY, {"side": "buy", "amount": 1}, {"tokenIn": "SOL", "tokenOut": "JUP", "amountOut": 3}]
)


@given(sound_orders, st.dictionaries(any_field, json_values, max_size=4), st.sets(any_field))
def test_whatever_is_sent_is_an_order_with_one_payable_amount_or_is_refused(
    sound: dict[str, Any], changes: dict[str, Any], left_out: set[str]
) -> None:
    sent = {name: value for name, value in (sound | changes).items() if name not in left_out}
    try:
        found = read(sent)
    except InvalidOrder as refused:
        problem = invalid_fields(refused)
        orjson.dumps(problem)
        event("refused")
        return
    event("accepted")
    (amount,) = (one for one in (found.amount_in, found.amount_out) if one is not None)

    assert 0 < amount <= MOST_ATOMS
    assert 0 <= found.slippage_bps <= 5_000
    assert not found.market.base.same_asset_as(found.market.quote)


@given(st.decimals(Decimal("0.100000001"), 100, allow_nan=False), st.booleans())
def test_a_fraction_that_may_be_meant_as_a_percent_is_never_taken(
    slippage: Decimal, as_text: bool
) -> None:
    assert refusals(SELL | {"slippage": f"{slippage:f}"[:64] if as_text else slippage})


@given(st.sampled_from(TOKENS), st.integers(1, MOST_ATOMS))
def test_an_amount_goes_in_and_out_without_changing_by_an_atom(token: Token, atoms: int) -> None:
    written = decimal(token, atoms)
    other = USDC if token.mint != USDC.mint else USDT
    sent = {"tokenIn": token.symbol, "tokenOut": other.symbol}

    assert read(sent | {"amountIn": written}).amount_in == atoms
    turned = {"tokenIn": other.symbol, "tokenOut": token.symbol}
    assert read(turned | {"amountOut": written}).amount_out == atoms
    as_number = parse_json(f'{{"amountIn": {written}}}')
    assert read(sent | as_number).amount_in == atoms


@given(st.integers(0, 1_000))
def test_a_fraction_and_its_bps_are_the_same_tolerance(bps: int) -> None:
    fraction = Decimal(bps).scaleb(-4)
    assert read(SELL | {"slippage": fraction}).slippage_bps == bps
    assert read(SELL | {"slippage": f"{fraction:f}"}).slippage_bps == bps


def test_what_can_be_paid_in_depends_on_the_token() -> None:
    assert read({"tokenIn": "SOL", "tokenOut": "JUP", "amountIn": "1e-9"}).amount_in == 1
    assert refusals({"tokenIn": "JUP", "tokenOut": "SOL", "amountIn": "1e-9"}) == {
        "amountIn": "too_precise"
    }
    assert JUP.decimals < SOL.decimals
    assert BONK.decimals < JUP.decimals


def test_what_an_order_asks_of_its_route_is_stored_by_name() -> None:
    assert read(SELL).constraints is None
    asked = {"maxPriceImpactBps": "50", "venues": ["Raydium", "meteora", "raydium"]}
    stored = {"venues": ["raydium", "meteora"], "maxPriceImpactBps": 50}
    assert read(SELL | asked).constraints == stored
    assert read(SELL | {"excludeVenues": " METEORA"}).constraints == {"excludeVenues": ["meteora"]}
    assert read(SELL | {"venues": "raydium, meteora"}).constraints == {
        "venues": ["raydium", "meteora"]
    }
    assert read(SELL | {"maxPriceImpactBps": 0}).constraints == {"maxPriceImpactBps": 0}


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"venues": ["raydium", "nowhere"]}, {"venues": "unknown_venue"}),
        ({"excludeVenues": "nowhere"}, {"excludeVenues": "unknown_venue"}),
        ({"venues": []}, {"venues": "invalid_list"}),
        ({"venues": [1]}, {"venues": "invalid_text"}),
        ({"venues": {"raydium": 1}}, {"venues": "invalid_list"}),
        ({"excludeVenues": ["raydium"] * 21}, {"excludeVenues": "invalid_list"}),
        ({"excludeVenues": list(LABELS)}, {"excludeVenues": "conflict"}),
        ({"venues": "raydium", "excludeVenues": "raydium"}, {"excludeVenues": "conflict"}),
        ({"maxPriceImpactBps": -1}, {"maxPriceImpactBps": "out_of_range"}),
        ({"maxPriceImpactBps": 10_001}, {"maxPriceImpactBps": "out_of_range"}),
        ({"maxPriceImpactBps": "0.5"}, {"maxPriceImpactBps": "too_precise"}),
        (
            {"maxPriceImpactBps": -1, "venues": "nowhere", "slippageBps": -1},
            {
                "maxPriceImpactBps": "out_of_range",
                "venues": "unknown_venue",
                "slippageBps": "out_of_range",
            },
        ),
    ],
)
def test_constraints_that_mean_nothing_are_refused_by_field(
    asked: dict[str, Any], refused: dict[str, str]
) -> None:
    assert refusals(SELL | asked) == refused


def test_a_venue_that_does_not_exist_is_named() -> None:
    known = ", ".join(LABELS)
    assert message(SELL | {"venues": "nowhere"}).endswith(f"No venue nowhere. Known: {known}.")


BUY_BY_BASE = {"baseToken": "JUP", "quoteToken": "SOL", "side": "buy"}


@pytest.mark.parametrize(
    ("sent", "worth"),
    [
        (SELL | {"amountIn": "10"}, 1_000),
        (BUY | {"amountIn": "1000"}, 1_000),
        ({"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": "1000"}, 1_000),
        ({"tokenIn": "USDC", "tokenOut": "SOL", "amountOut": "10"}, 1_000),
        ({"side": "buy", "amount": 10}, 1_000),
        ({"side": "sell", "amount": 10}, 1_000),
        ({"tokenIn": "WSOL", "tokenOut": "JUP", "amount": "10"}, 1_000),
        (BUY_BY_BASE | {"amountIn": "10"}, 1_000),
        (BUY_BY_BASE | {"amountOut": "2000"}, 1_000),
        ({"tokenIn": "USDT", "tokenOut": "JUP", "amount": "1000"}, 1_000),
        ({"tokenIn": "JUP", "tokenOut": "BONK", "amountOut": "50000000"}, 1_000),
    ],
)
def test_an_order_is_worth_no_more_than_one_may_be_whichever_token_its_amount_is_of(
    sent: dict[str, Any], worth: int, settings: Any
) -> None:
    settings.MAX_ORDER_VALUE = Decimal(worth)

    assert read_new_order(sent) == read(sent)
    settings.MAX_ORDER_VALUE = Decimal(worth) - Decimal("0.000001")
    with pytest.raises(InvalidOrder) as refused:
        read_new_order(sent)
    (error,) = invalid_fields(refused.value)["errors"]
    assert error["code"] == "too_large"
    assert error["field"] in sent
    assert f"worth {worth} USDC by the reference price" in error["message"]
    assert "999.999999 USDC that an order may be worth" in error["message"]


def test_an_order_whose_value_nobody_can_tell_is_refused_where_orders_have_a_limit(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely = Token("LONE", "LoneMint", 6)
    known = Registry([SOL, USDC, lonely, RAY], [Market(lonely, RAY, Decimal(1))])
    monkeypatch.setattr("orders.api.reading.serializers.registry", lambda: known)
    sent = {"tokenIn": "LONE", "tokenOut": "RAY", "amount": 1}

    assert read_new_order(sent).market.base == lonely
    settings.MAX_ORDER_VALUE = Decimal(10**9)
    with pytest.raises(InvalidOrder) as refused:
        read_new_order(sent)
    assert refused.value.codes == {"value_unknown"}


def test_a_pair_without_pools_is_taken_where_a_third_token_joins_it() -> None:
    swap = read({"tokenIn": "USDT", "tokenOut": "jup", "amountIn": 1})
    assert (swap.market.name, swap.side) == ("JUP/USDT", Side.BUY)
    assert {path.through.symbol for path in swap.market.paths} == {"SOL", "USDC"}


def test_a_whole_number_of_a_query_has_one_to_nine_digits() -> None:
    for text in ("0", "7", "007", "9" * 9):
        assert whole_number(text, "after") == int(text)
    for text in ("", "-1", "+1", "1.0", " 1", "1_0", "\u00b2", "\uff11", "x", "1" * 10):
        with pytest.raises(ValidationError) as refused:
            whole_number(text, "after", "No seq.")
        assert refused.value.detail == {"after": ["No seq."]}
        assert refused.value.get_codes() == {"after": ["invalid_number"]}
