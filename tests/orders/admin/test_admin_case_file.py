"""An order's page as a case file: what was asked, decided and done, in words and with times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from orders.admin_pages.case_file import case_file
from orders.admin_pages.wording import FAILURE_MEANINGS, basis_points, duration, grouped
from orders.models import FailureCode, Order, OrderEvent, OrderTransaction
from orders.representation import headline

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DECISION: dict[str, Any] = {
    "selectedDex": "meteora",
    "runnerUp": "raydium",
    "marginBps": "5.04",
    "reason": "Meteora nets 149.924550 USDC, 0.075450 more than Raydium",
    "quotes": [
        {
            **{"dex": "raydium", "price": "100.2", "feeBps": 30},
            **{"amountIn": "1.5", "amountOut": "149.8491"},
        },
        {
            **{"dex": "meteora", "price": "100.15", "feeBps": 20},
            **{"amountIn": "1.5", "amountOut": "149.92455"},
        },
    ],
    "dropped": [],
    "quote": {
        **{"dex": "meteora", "price": "100.15", "feeBps": 20},
        **{"amountIn": "1.5", "amountOut": "149.92455"},
    },
    "steps": [
        {"type": "wrap_sol", "amount": "1.5"},
        {"type": "swap", "dex": "meteora", "amountIn": "1.5", "amountOut": "149.92455"},
    ],
    "minAmountOut": "148.425305",
}
REFUSED = {"dex": "raydium", "code": "venue_unavailable", "reason": "Raydium refuses to quote"}
SELL = {"side": "sell", "base": "SOL", "quote": "USDC", "slippage_bps": 100}


def make_order(**columns: Any) -> Order:
    return Order.objects.create(**SELL | {"amount_in": 1_500_000_000} | columns)


def make_filled(**columns: Any) -> Order:
    """An order that was sent twice; the first transaction was rejected."""
    found = {
        **{"status": "confirmed", "created_at": NOW, "finished_at": NOW + timedelta(seconds=3)},
        **{"venue": "meteora", "attempts": 2, "signature": "2" * 64, "min_out": 148_425_305},
        **{"filled_in": 1_500_000_000, "filled_out": 149_800_000},
    }
    order = make_order(**found | columns)
    log(order, 0, "pending", "Order received and queued", {}, attempt=0)
    log(order, 12, "building", "Building the transaction for Meteora", DECISION)
    log(order, 512, "pending", "Attempt 1 of 3 failed: the price moved", {"proof": "rejected"})
    decided_alone = {"dropped": [REFUSED], "runnerUp": None, "marginBps": None}
    second = DECISION | decided_alone | {"quotes": DECISION["quotes"][1:]}
    log(order, 2_000, "building", "Building the transaction for Meteora", second, attempt=2)
    log(order, 3_000, "confirmed", "Order executed at 99.866667", {}, attempt=2)
    for attempt, outcome in ((1, "rejected"), (2, "landed")):
        OrderTransaction.objects.create(
            **{"order": order, "attempt": attempt, "signature": str(attempt) * 64, "payload": b""},
            **{"expires_at_height": 77, "created_at": NOW, "settled_at": NOW, "outcome": outcome},
        )
    return order


def log(
    order: Order, milliseconds: int, status: str, message: str, data: Any, attempt: int = 1
) -> None:
    OrderEvent.objects.create(
        **{"order": order, "seq": order.events.count() + 1, "status": status, "attempt": attempt},
        **{"at": NOW + timedelta(milliseconds=milliseconds), "message": message, "data": data},
    )


def page_of(client: Client, order: Order) -> str:
    url = reverse("admin:orders_order_change", args=[order.pk])
    return " ".join(client.get(url).content.decode().split())


def test_the_timeline_tells_how_long_each_step_took() -> None:
    steps = case_file(make_filled()).steps

    assert [(step.since, step.offset) for step in steps] == [
        ("", ""),
        ("12 ms", "12 ms"),
        ("500 ms", "512 ms"),
        ("1.49 s", "2.00 s"),
        ("1.00 s", "3.00 s"),
    ]


SPLIT: dict[str, Any] = DECISION | {
    "runnerUp": "meteora",
    "marginBps": "43.57",
    "reason": "Meteora 74.2 % and Raydium 25.8 % together net 150.5 USDC",
    "quote": {
        **{"dex": "meteora", "price": "100.5", "feeBps": 23},
        **{"amountIn": "1.5", "amountOut": "150.5"},
    },
    "legs": [
        {"market": "SOL/USDC", "side": "sell", "dex": "meteora"},
        {"market": "SOL/USDC", "side": "sell", "dex": "raydium"},
    ],
    "steps": [
        {"type": "swap", "dex": "meteora", "amountIn": "1.1", "amountOut": "111.6"},
        {"type": "swap", "dex": "raydium", "amountIn": "0.4", "amountOut": "38.9"},
    ],
}


def test_a_split_is_what_won_and_each_venue_alone_stands_below_it() -> None:
    order = make_order(venue="meteora")
    log(order, 12, "building", "Building", SPLIT)
    found = case_file(order)
    (decision,) = found.decisions

    assert decision.winner == found.venue == "Meteora and Raydium"
    assert [(quote.label, quote.won) for quote in decision.quotes] == [
        ("Meteora and Raydium", True),
        ("Raydium alone", False),
        ("Meteora alone", False),
    ]
    assert [quote.gain_bps for quote in decision.quotes] == ["", "43.43", "38.38"]
    assert [quote.amount_out for quote in decision.quotes] == [
        *("150.50000 USDC", "149.84910 USDC", "149.92455 USDC")
    ]
    assert decision.steps == (
        "swap 1.1 for 111.6 at Meteora",
        "swap 0.4 for 38.9 at Raydium",
    )


def test_a_route_of_two_hops_says_where_they_lead_through() -> None:
    order = make_order(base="JUP", quote="USDT", amount_in=1_500_000)
    quotes = [quote | {"through": "USDC"} for quote in DECISION["quotes"]]
    hops = [{"type": "swap", "dex": "raydium", "amountIn": "1", "amountOut": "2", "market": "A/B"}]
    log(order, 12, "building", "", DECISION | {"quotes": quotes, "quote": quotes[1], "steps": hops})
    (decision,) = case_file(order).decisions

    assert [quote.label for quote in decision.quotes] == [
        "Raydium through USDC",
        "Meteora through USDC",
    ]
    assert [quote.won for quote in decision.quotes] == [False, True]
    assert decision.steps == ("swap 1 for 2 at Raydium in A/B",)


def test_a_decision_is_told_in_words(admin_client: Client) -> None:
    page = page_of(admin_client, make_filled())
    for text in (
        "Decision of attempt 1: Meteora",
        "Meteora nets 149.924550 USDC, 0.075450 more than Raydium: 5.04 bps better than Raydium,"
        " net of fees. The order accepted at least 148.425305 USDC.",
        '>100.20</td><td class="num">30 bps</td><td class="num">1.5 SOL</td>'
        '<td class="num">149.84910 USDC</td> <td class="num">5.03 bps</td>',
        'Meteora <span class="won-mark">won</span></th> <td class="num">100.15</td>',
        "<strong>Raydium</strong> <code>venue_unavailable</code>: Raydium refuses to quote",
        "Steps: wrap 1.5 SOL → swap 1.5 for 149.92455 at Meteora",
    ):
        assert text in page


def test_transactions_are_shown_with_their_outcome(admin_client: Client) -> None:
    page = page_of(admin_client, make_filled())
    for attempt, outcome in ((1, "rejected"), (2, "landed")):
        row = page[page.index(f'<th scope="row">{attempt}</th>') :]
        assert f">{outcome}<" in row[: row.index("</tr>")]
        assert str(attempt) * 64 in row[: row.index("</tr>")]
    may_land = make_order(status="submitted", signature="9" * 64, started_at=NOW)
    OrderTransaction.objects.create(
        **{"order": may_land, "attempt": 1, "signature": "9" * 64, "payload": b""},
        **{"expires_at_height": 77, "created_at": NOW},
    )

    assert "may still land" in page_of(admin_client, may_land)


def test_a_fill_is_compared_with_its_bound_and_its_quote(admin_client: Client) -> None:
    fill = case_file(make_filled()).fill

    assert fill is not None
    assert fill.is_within
    assert fill.better == "92.61 bps better: 1.374695 USDC more"
    assert fill.against_quote == "8.30 bps worse than quoted"
    assert fill.text == "1.5 SOL → 149.8 USDC"
    assert fill.price == "99.866667 USDC per SOL"


def test_a_fixed_output_is_compared_with_the_most_it_may_cost() -> None:
    quote = DECISION["quote"] | {"amountIn": "0.05", "amountOut": "5"}
    order = make_order(
        **{"amount_in": None, "amount_out": 5_000_000, "max_in": 50_500_000, "venue": "meteora"},
        **{"filled_in": 50_000_000, "filled_out": 5_000_000, "signature": "5"},
        **{"status": "confirmed", "finished_at": NOW},
    )
    least = {name: value for name, value in DECISION.items() if name != "minAmountOut"}
    log(order, 0, "building", "", least | {"quote": quote, "maxAmountIn": "0.0505"})
    found = case_file(order)

    assert found.fill is not None
    assert found.fill.better == "99.00 bps better: 0.0005 SOL less"
    assert found.fill.against_quote == "exactly as quoted"
    assert found.decisions[0].bound == "at most 0.0505 SOL"


def test_a_broken_bound_is_not_to_be_overlooked(admin_client: Client) -> None:
    order = make_filled(filled_out=148_000_000, needs_attention=True)
    page = page_of(admin_client, order)
    assert "It was filled outside its bound." in page
    assert '<dd class="bad">28.66 bps worse than the bound</dd>' in page


def test_a_failure_code_is_explained(admin_client: Client) -> None:
    order = make_order(
        **{"status": "failed", "finished_at": NOW, "failure_code": "never_landed"},
        **{"failure_reason": "expired at height 77"},
    )
    page = page_of(admin_client, order)

    assert "Failed with <code>never_landed</code>: expired at height 77." in page
    assert FAILURE_MEANINGS["never_landed"] in page


def test_what_no_venue_could_do_is_told_with_each_venues_reason(admin_client: Client) -> None:
    order = make_order(
        **{"status": "failed", "finished_at": NOW, "failure_code": "venues_unavailable"},
        **{"failure_reason": "Raydium refuses to quote", "attempts": 1},
    )
    log(order, 12, "routing", "Comparing prices", {})
    log(order, 512, "failed", "No venue", {"failureCode": "x", "dropped": [REFUSED]})
    page = page_of(admin_client, order)

    assert "Decision: no venue could be chosen" in page
    assert "<strong>Raydium</strong> <code>venue_unavailable</code>: Raydium refuses" in page
    assert "<dt>Venue</dt><dd>none</dd>" in page
    assert "<dt>Bound</dt><dd>none: no venue quoted it</dd>" in page


def test_a_young_order_waits_for_its_venue(admin_client: Client) -> None:
    page = page_of(admin_client, make_order())
    assert "<dt>Venue</dt><dd>none chosen yet</dd>" in page
    assert "<dt>Bound</dt><dd>set by the first quote</dd>" in page


def test_every_failure_code_has_a_meaning() -> None:
    assert set(FAILURE_MEANINGS) == set(FailureCode.values)


def test_a_case_file_leads_to_api_events_and_stream_and_names_its_owner(
    admin_client: Client,
) -> None:
    order = make_order(owner=User.objects.create_user("grace"), client_order_id="<mine>")
    page = page_of(admin_client, order)

    assert f'href="/api/orders/{order.pk}"' in page
    assert f'href="/api/orders/{order.pk}/events"' in page
    assert f"ws://testserver/ws/orders/{order.pk}" in page
    assert "<dd>grace</dd>" in page
    assert "&lt;mine&gt;" in page


def test_an_order_that_lost_its_workers_says_so(admin_client: Client) -> None:
    page = page_of(admin_client, make_order(lost_leases=2, status="routing", started_at=NOW))
    assert "The last 2 workers that carried it were lost." in page


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, ""),
        ({"venues": ["raydium", "meteora"]}, "Raydium or Meteora only"),
        (
            {"venues": ["raydium"], "maxPriceImpactBps": 0},
            "Raydium only, price impact at most 0 bps",
        ),
        ({"excludeVenues": ["meteora", "orca"]}, "not Meteora nor orca"),
    ],
)
def test_what_is_asked_of_the_route_is_told(asked: Any, text: str, admin_client: Client) -> None:
    order = make_order(constraints=asked)
    assert case_file(order).limits == text
    assert f"<dt>Route</dt><dd>{text or 'any'}</dd>" in page_of(admin_client, order)
    listed = admin_client.get(reverse("admin:orders_order_changelist")).content.decode()
    assert listed.count(f'<span class="limits">{text}</span>') == bool(text)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "Sell 1.5 SOL for USDC"),
        ({"amount_in": None, "amount_out": 5_000_000}, "Sell SOL for 5 USDC"),
        ({"side": "buy", "amount_in": 5_000_000}, "Buy SOL with 5 USDC"),
        ({"side": "buy", "amount_in": None, "amount_out": 10**9}, "Buy 1 SOL with USDC"),
    ],
)
def test_the_headline_says_what_is_asked_for(columns: dict[str, Any], text: str) -> None:
    assert headline(make_order(**columns)) == text


def test_a_log_of_another_time_is_no_fault(admin_client: Client) -> None:
    """History outlives formats: what a decision lacks is left out."""
    order = make_order()
    log(order, 0, "building", "old", {"quotes": [], "selectedDex": "nowhere"})
    page = page_of(admin_client, order)
    assert "Decision: nowhere" in page
    assert "None" not in page


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(microseconds=1234), "1.23 ms"),
        (timedelta(milliseconds=999), "999 ms"),
        (timedelta(seconds=2.5), "2.50 s"),
        (timedelta(seconds=61), "1 min 1 s"),
        (timedelta(hours=2, minutes=5), "2 h 5 min"),
    ],
)
def test_durations_come_in_the_unit_that_fits(span: timedelta, text: str) -> None:
    assert duration(span) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Buy 5000000 BONK with USDC", "Buy 5,000,000 BONK with USDC"),
        ("869585.085433", "869,585.085433"),
        ("0.12345678", "0.12345678"),
        ("of 2024x and a1234", "of 2024x and a1234"),
    ],
)
def test_whole_parts_are_grouped_and_decimals_are_not(text: str, shown: str) -> None:
    assert grouped(text) == shown


def test_basis_points_are_rounded_down() -> None:
    assert str(basis_points(1, 3)) == "3333.33"
