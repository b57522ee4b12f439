"""Operators add tokens, markets and pools in the admin, close markets, and change nothing else."""

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from routing import registry
from routing.base58 import base58
from routing.models import Market, SimulatedPool, Token
from routing.simulation.pool import PoolKey, read_pool
from routing.tokens import JUP, MARKETS, SOL, USDC

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("same_registry")]
MINT = base58(bytes(range(32)))
TOKEN_LIST = reverse("admin:routing_token_changelist")
MARKET_LIST = reverse("admin:routing_market_changelist")
POOL_LIST = reverse("admin:routing_simulatedpool_changelist")
ADD_TOKEN = reverse("admin:routing_token_add")
ADD_MARKET = reverse("admin:routing_market_add")
ADD_POOL = reverse("admin:routing_simulatedpool_add")
NEW = {"symbol": "NEW", "mint": MINT, "decimals": "8"}
NEW_USDC = {"base": "NEW", "quote": "USDC", "reference_price": "0.25", "takes_orders": "on"}
POOL = {"venue": "raydium", "market": "1", "depth": "250000", "fee_bps": "", "bin_step": "20"}
ROW = re.compile(r'<div class="form-row errors field-(\w+)">(.*?)</ul>', re.DOTALL)


def errors(page: str) -> dict[str, str]:
    """Return what a form says beside which field."""
    return {
        field: unescape(re.sub(r"<[^>]+>", "", row.split('<ul class="errorlist', 1)[1]))
        .split(">", 1)[1]
        .strip()
        for field, row in ROW.findall(page)
    }


def refused(client: Client, url: str, form: dict[str, Any]) -> dict[str, str]:
    answer = client.post(url, form)
    assert answer.status_code == 200, answer
    return errors(answer.content.decode())


def added(client: Client, url: str, form: dict[str, Any]) -> None:
    answer = client.post(url, form)
    assert answer.status_code == 302, errors(answer.content.decode())


def text_of(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return unescape(re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_a_token_and_a_market_are_added_and_this_process_knows_them_at_once(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        added(admin_client, ADD_TOKEN, NEW)
        added(admin_client, ADD_MARKET, NEW_USDC)
    known = registry.registry()
    market = known.market(known.token("NEW"), USDC)

    assert (market.reference_price, market.is_open) == (Decimal("0.25"), True)
    assert {"MINT", MINT} & set(text_of(admin_client, TOKEN_LIST).split())
    assert "NEW/USDC" in text_of(admin_client, MARKET_LIST)
    assert "0.25 USDC" in text_of(admin_client, MARKET_LIST)
    orders = text_of(admin_client, reverse("admin:orders_order_changelist"))
    assert "NEW/USDC" in orders  # among the filters


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"symbol": "new"}, "symbol"),
        ({"symbol": "USDC"}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"mint": "2" * 32}, "mint"),
        ({"mint": MINT[:-1] + "0"}, "mint"),
        ({"mint": SOL.mint}, "mint"),
        ({"decimals": "19"}, "decimals"),
        ({"decimals": "-1"}, "decimals"),
        ({"decimals": "x"}, "decimals"),
    ],
    ids=str,
)
def test_what_is_no_token_is_refused_beside_its_field(
    admin_client: Client, change: dict[str, str], field: str
) -> None:
    assert set(refused(admin_client, ADD_TOKEN, NEW | change)) == {field}
    assert Token.objects.count() == 7


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"quote": "NEW"}, "quote", "not traded against itself"),
        ({"base": "SOL"}, "quote", "SOL/USDC"),
        ({"base": "USDC", "quote": "SOL"}, "quote", "SOL/USDC"),
        ({"base": "WSOL"}, "base", "valid choice"),
        ({"base": "NOTHING"}, "base", "valid choice"),
        ({"reference_price": "0"}, "reference_price", "above zero"),
        ({"reference_price": "-1"}, "reference_price", "above zero"),
        ({"reference_price": "NaN"}, "reference_price", "Enter a number"),
        ({"reference_price": "1e-21"}, "reference_price", "decimal places"),
        ({"reference_price": "1e19"}, "reference_price", "Raydium could not make a pool"),
        ({"reference_price": "1e-19"}, "reference_price", "could not make a pool"),
    ],
    ids=str,
)
def test_what_is_no_market_is_refused_beside_its_field(
    admin_client: Client, change: dict[str, str], field: str, reason: str
) -> None:
    Token.objects.create(symbol="NEW", mint=MINT, decimals=8)
    found = refused(admin_client, ADD_MARKET, NEW_USDC | change)
    assert set(found) == {field}
    assert reason in found[field]
    assert Market.objects.count() == len(MARKETS)


def test_a_price_that_contradicts_other_markets_is_refused(admin_client: Client) -> None:
    form = {"base": "JUP", "quote": "USDT", "takes_orders": "on"}
    found = refused(admin_client, ADD_MARKET, form | {"reference_price": "5"})

    assert found == {
        "reference_price": "Through SOL the price is 0.5. The two have to agree roughly."
    }
    added(admin_client, ADD_MARKET, form | {"reference_price": "0.51"})


def test_what_is_there_has_no_form_but_for_closing(admin_client: Client) -> None:
    token, market = Token.objects.get(symbol="JUP"), Market.objects.get(base="JUP", quote="USDC")
    token_page = reverse("admin:routing_token_change", args=[token.pk])
    market_page = reverse("admin:routing_market_change", args=[market.pk])

    assert JUP.mint in text_of(admin_client, token_page)
    assert admin_client.post(token_page, NEW).status_code == 403
    for kind in ("token", "market"):
        delete = reverse(f"admin:routing_{kind}_delete", args=[1])
        assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    other = {"base": "RAY", "quote": "USDT", "reference_price": "7"}
    assert admin_client.post(market_page, other).status_code == 302
    market.refresh_from_db()
    assert (str(market), market.reference_price) == ("JUP/USDC", Decimal("0.5"))
    assert not market.takes_orders  # the box was not ticked


def test_markets_are_closed_and_opened_from_the_lists_and_it_is_remembered(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    jup = Token.objects.get(symbol="JUP")
    wsol = Token.objects.get(symbol="WSOL")

    def act(url: str, action: str, key: int) -> str:
        chosen = {"action": action, "_selected_action": [key]}
        with django_capture_on_commit_callbacks(execute=True):
            answer = admin_client.post(url, chosen, follow=True)
        return unescape(answer.content.decode())

    page = act(TOKEN_LIST, "close", jup.pk)
    assert "Markets closed to new orders: JUP/USDC, JUP/SOL." in page
    known = registry.registry()
    assert not known.market(JUP, SOL).is_open
    assert not known.market_of(JUP, known.token("USDT")).is_open
    assert LogEntry.objects.count() == 2
    act(MARKET_LIST, "open", Market.objects.get(base="JUP", quote="SOL").pk)
    assert registry.registry().market(JUP, SOL).is_open
    assert "JUP/SOL, RAY/SOL, BONK/SOL" in act(TOKEN_LIST, "close", wsol.pk)
    assert "Markets opened to new orders: SOL/USDC" in act(TOKEN_LIST, "open", wsol.pk)


def test_pools_are_made_with_a_depth_and_fee_of_their_own(admin_client: Client) -> None:
    added(admin_client, ADD_POOL, POOL | {"fee_bps": "25"})
    added(admin_client, ADD_POOL, POOL | {"venue": "meteora", "bin_step": "50"})
    raydium, meteora = (
        read_pool(key, row.kind, row.state, row.tick, row.version)
        for name in ("raydium", "meteora")
        for key in [PoolKey(name, SOL.mint, USDC.mint)]
        for row in [SimulatedPool.objects.get(**key._asdict())]
    )

    assert (raydium.pool.vault_x, raydium.pool.vault_y) == (2_500 * 10**9, 250_000 * 10**6)
    assert raydium.pool.rates.trade == 2_500  # type: ignore[union-attr]
    assert meteora.pool.parameters.bin_step == 50  # type: ignore[union-attr]
    assert 0.9 < meteora.pool.vault_y / 250_000e6 < 1.05
    assert meteora.tick > 1_700_000_000
    shown = text_of(admin_client, POOL_LIST)
    for text in ("Raydium", "SOL/USDC", "2500 SOL", "250000 USDC", "100 USDC", "25 bps"):
        assert text in shown
    row = SimulatedPool.objects.get(venue="meteora")
    page = text_of(admin_client, reverse("admin:routing_simulatedpool_change", args=[row.pk]))
    for text in ("20 bps, more when the price moves", "81, 50 bps apart", "Meteora SOL/USDC"):
        assert text in page


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"venue": "orca"}, "venue", "valid choice"),
        ({"market": "77"}, "market", "valid choice"),
        ({"depth": ""}, "depth", "required"),
        ({"depth": "0"}, "depth", "only 0 atoms"),
        ({"depth": "-1"}, "depth", "only -"),
        ({"depth": "0.0000001"}, "depth", "USDC has 6 decimals"),
        ({"depth": "99999999999999"}, "depth", "room for 2305843009.213693951 SOL at most"),
        ({"market": "9", "depth": "0.00005"}, "depth", "only 50 atoms of USDT"),
        (
            {"venue": "meteora", "bin_step": "10", "depth": "0.00015"},
            *("depth", "could not be traded in"),
        ),
        ({"fee_bps": "0"}, "fee_bps", "greater than or equal to 0.01"),
        ({"fee_bps": "1001"}, "fee_bps", "less than or equal to 1000"),
        ({"fee_bps": "0.001"}, "fee_bps", "decimal places"),
        ({"bin_step": "7"}, "bin_step", "valid choice"),
        ({"venue": "meteora", "bin_step": "80", "fee_bps": "0.01"}, "fee_bps", "just this fee"),
    ],
    ids=str,
)
def test_what_could_not_be_quoted_is_refused_beside_its_field(
    admin_client: Client, change: dict[str, str], field: str, reason: str
) -> None:
    found = refused(admin_client, ADD_POOL, POOL | change)
    assert set(found) == {field}
    assert reason in found[field]
    assert not SimulatedPool.objects.exists()


def test_a_venue_has_one_pool_of_a_market(admin_client: Client) -> None:
    added(admin_client, ADD_POOL, POOL)
    assert refused(admin_client, ADD_POOL, POOL) == {"market": "Raydium has a pool of SOL/USDC."}
    row = SimulatedPool.objects.get()
    page = reverse("admin:routing_simulatedpool_change", args=[row.pk])
    assert admin_client.post(page, POOL).status_code == 403


def test_a_pool_that_the_venue_made_meanwhile_is_no_fault(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(admin_client, ADD_POOL, POOL)
    monkeypatch.setattr(SimulatedPool.objects, "filter", lambda **_: SimulatedPool.objects.none())
    answer = admin_client.post(ADD_POOL, POOL, follow=True)
    assert "has just made this pool itself" in answer.content.decode()


@pytest.mark.parametrize("kind", ["token", "market", "simulatedpool"])
def test_who_may_look_may_not_add(kind: str) -> None:
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename=f"view_{kind}"))
    client = Client()
    client.force_login(viewer)
    page = client.get(reverse(f"admin:routing_{kind}_changelist"))

    assert page.status_code == 200
    assert "Close" not in page.content.decode()
    assert client.get(reverse(f"admin:routing_{kind}_add")).status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename=f"add_{kind}"))
    assert client.get(reverse(f"admin:routing_{kind}_add")).status_code == 200


def test_the_least_inputs_of_a_market_are_set_and_taken_back(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    row = Market.objects.get(base="SOL", quote="USDC")
    path = reverse("admin:routing_market_change", args=[row.pk])
    known = []
    for given in ({"min_base": "0.01", "min_quote": "2"}, {"min_base": "", "min_quote": ""}):
        with django_capture_on_commit_callbacks(execute=True):
            admin_client.post(path, {"takes_orders": "on", **given})
        market = registry.registry().market(
            registry.registry().token("SOL"), registry.registry().token("USDC")
        )
        known.append((market.min_base, market.min_quote))

    assert known == [(10**7, 2 * 10**6), (None, None)]


def test_a_least_input_of_nothing_is_refused(admin_client: Client) -> None:
    row = Market.objects.get(base="SOL", quote="USDC")
    path = reverse("admin:routing_market_change", args=[row.pk])
    answer = admin_client.post(path, {"takes_orders": "on", "min_base": "0", "min_quote": ""})

    assert "A minimum must be above zero." in answer.content.decode()


def test_a_pool_that_is_launched_opens_later_and_can_be_moved(admin_client: Client) -> None:
    added(admin_client, ADD_POOL, POOL | {"opens_in": "3600"})
    made = SimulatedPool.objects.get()
    assert (made.opens_at - made.made_at).total_seconds() == 3600

    action = {"action": "migrate_to_meteora", "_selected_action": [made.pk]}
    page = admin_client.post(POOL_LIST, action, follow=True).content.decode()
    assert "moved from raydium to meteora" in page
    moved = SimulatedPool.objects.get()
    assert (moved.venue, moved.follows) == ("meteora", "raydium")
    page = admin_client.post(
        POOL_LIST, action | {"_selected_action": [moved.pk]}, follow=True
    ).content.decode()
    assert "Meteora has a pool of SOL/USDC." in page


def test_an_operator_who_may_not_add_pools_moves_none(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_simulatedpool"))
    client.force_login(viewer)

    assert "migrate_to_meteora" not in client.get(POOL_LIST).content.decode()
