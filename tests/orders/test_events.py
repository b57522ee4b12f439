"""How an event tells what happened, to people and as JSON."""

from decimal import Decimal

import pytest

from orders.events import (
    Built,
    Failed,
    Fault,
    Filled,
    Routed,
    SentBack,
    expired,
    outside_bound,
    price_impact_too_high,
    workers_lost,
)
from routing.decision import Decision, DroppedQuote, decide
from routing.tokens import REGISTRY, SOL, USDC
from routing.venue import Bound, Landed, Leg, Quote, Side, Swap

SWAP = Swap(REGISTRY.market(SOL, USDC), Side.SELL, amount_in=1_500_000_000)
QUOTE = Quote("meteora", 1_500_000_000, 149_924_550, Decimal("100.15"), 20)
LEGS = [Leg("meteora", QUOTE), Leg("raydium", QUOTE), Leg("meteora", QUOTE)]
REFUSED = DroppedQuote("raydium", "venue_unavailable", "Raydium refuses to quote")
MOVED = Fault(
    code="slippage_exceeded",
    reason="the price moved",
    signature="5sig",
    proof="rejected",
    network_fee=5_000,
)


def decision() -> Decision:
    return decide(SWAP, (QUOTE,), (REFUSED,), {"meteora": "Meteora"})


def test_a_route_is_told_with_its_bound_and_its_steps() -> None:
    message, data = Routed(decision(), Bound(min_out=148_425_305)).words()

    assert message == "Building the transaction for Meteora"
    assert (data["minAmountOut"], data["minAcceptablePrice"]) == ("148.425305", "98.950203")
    assert data["dropped"] == [
        {"dex": "raydium", "code": "venue_unavailable", "reason": "Raydium refuses to quote"}
    ]
    assert data["steps"] == [
        {"type": "wrap_sol", "amount": "1.5"},
        {"type": "swap", "dex": "meteora", "amountIn": "1.5", "amountOut": "149.92455"},
    ]


def test_a_transaction_names_each_venue_once() -> None:
    assert Built(LEGS, "meteora", "5sig").words() == (
        "Transaction sent to the network through Meteora and Raydium",
        {"selectedDex": "meteora", "txHash": "5sig"},
    )


@pytest.mark.parametrize(
    ("fee", "is_within", "more"),
    [
        (None, True, {}),
        (5_000, True, {"networkFee": "0.000005"}),
        (0, False, {"networkFee": "0", "boundBroken": True}),
    ],
)
def test_a_fill_tells_its_price_its_fee_and_a_broken_bound(
    fee: int | None, is_within: bool, more: dict[str, object]
) -> None:
    fill = Landed(1_500_000_000, 149_800_000, fee)

    assert Filled(SWAP, "meteora", "5sig", fill, is_within).words() == (
        "Order executed at 99.866667",
        {
            "selectedDex": "meteora",
            "txHash": "5sig",
            "executedPrice": "99.866667",
            "amountIn": "1.5",
            "amountOut": "149.8",
            **more,
        },
    )


def test_an_attempt_that_is_followed_by_another_tells_the_proof_and_the_pause() -> None:
    assert SentBack(MOVED, attempt=1, most=3, delay=1.25).words() == (
        "Attempt 1 of 3 failed: the price moved",
        {
            "failureCode": "slippage_exceeded",
            "reason": "the price moved",
            "txHash": "5sig",
            "proof": "rejected",
            "networkFee": "0.000005",
            "retryInSeconds": "1.250",
        },
    )


@pytest.mark.parametrize("dropped", [(), (REFUSED,)])
def test_an_order_without_a_route_names_the_venues_that_took_no_part(
    dropped: tuple[DroppedQuote, ...],
) -> None:
    message, data = Failed(Fault("venues_unavailable", "no venue", dropped=dropped)).words()

    assert message == "Order failed: no venue"
    assert len(data.pop("dropped")) == len(dropped)
    assert data == {
        "failureCode": "venues_unavailable",
        "reason": "no venue",
        "error": "no venue",
    }


def test_a_route_that_broke_the_bound_is_told_with_its_fault() -> None:
    routed = Routed(decision(), Bound(min_out=150_000_000))

    _, data = Failed(Fault("slippage_exceeded", "less", unused=routed)).words()

    assert data["decision"] == routed.words()[1]


def test_reasons_are_sentences_that_name_what_was_found() -> None:
    assert outside_bound(decision()) == (
        "Meteora nets 149.924550 USDC, the only usable quote,"
        " which is outside the bound of the first quote"
    )
    assert price_impact_too_high("raydium: too much") == (
        "raydium: too much. A larger maxPriceImpactBps (100 is 1 %) in the order would allow more;"
        " a smaller amount moves the price less"
    )
    assert workers_lost(7) == "7 workers in a row were lost while they carried this order"
    assert expired(77, 78) == "expired at height 77, absent at 78"
