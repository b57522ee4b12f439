"""The trading page without a browser: what is sent. What it does is in tests/browser."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders

from orders.api.pages import decimals
from orders.api.pages.trade_page import modules
from routing.tokens import BONK, MARKETS, REGISTRY, SOL, USDC, Registry, Token
from tests.support.client import Answer, get, post, request

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MOST_BYTES = 120_000
"""Of the first load, as it goes over the wire."""


def facts_in(page: Answer) -> dict[str, Any]:
    text = re.search(r'<script id="facts" type="application/json">(.*?)</script>', page.text)
    assert text
    found: dict[str, Any] = json.loads(text[1])
    return found


def files_of(page: Answer) -> list[str]:
    """Return the paths of all that the page links, each once."""
    linked = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    return list(dict.fromkeys(linked))


@pytest.mark.parametrize("path", ["/", "/test", "/test/"])
async def test_the_page_offers_every_market(path: str) -> None:
    answer = await get(path, **BROWSER)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    direct, in_two_hops = answer.text.split('<optgroup label="In two hops">')
    for market in MARKETS:
        assert f">{market.name}</option>" in direct
    for market in REGISTRY.joined():
        assert f">{market.name}</option>" in in_two_hops
    assert "<option selected>SOL/USDC</option>" in direct
    facts = facts_in(answer)
    anonymous = {"account": None, "isStaff": False, "mayTradeAnonymously": True}
    assert facts["me"].items() >= anonymous.items()
    assert len(facts["markets"]) == len(MARKETS) + len(REGISTRY.joined())


async def test_a_browser_without_an_account_gets_a_space_of_keys_once() -> None:
    first = await get("/", **BROWSER)
    lines = [value for name, value in first.headers.items() if name == "set-cookie"]
    value = first.cookies["browser"]

    assert re.fullmatch(r"[\w-]{43}", value)
    assert "no-store" in first.headers["cache-control"]
    again = await get("/", cookie=f"browser={value}", **BROWSER)
    assert "browser" not in again.cookies
    forged = await get("/", cookie="browser=mine", **BROWSER)
    assert forged.cookies["browser"] != "mine"
    assert all(
        "HttpOnly" in line and "SameSite=Lax" in line for line in lines if "browser=" in line
    )


async def test_the_page_holds_no_script_and_no_style_of_its_own() -> None:
    page = await get("/")

    scripts = re.findall(
        r"<script[^>]*>", re.sub(r"/static/.*?orders/", "/static/orders/", page.text)
    )
    assert scripts == [
        '<script src="/static/orders/trade/theme.js">',
        '<script id="facts" type="application/json">',
        '<script type="module" src="/static/orders/trade/page.js">',
    ]
    for forbidden in ("<style", "style=", "onclick", "javascript:"):
        assert forbidden not in page.text


async def test_the_first_load_is_light() -> None:
    page = await get("/")
    sizes = {"/": len((await get("/", accept_encoding="gzip")).body)}
    for path in files_of(page):
        file = await get(path, accept_encoding="gzip")
        assert file.status == 200, path
        sizes[path] = len(file.body)
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_every_module_says_in_a_sentence_what_it_is_for() -> None:
    folder = Path(finders.find("orders/trade/page.js") or "").parent
    for path in folder.glob("*.js"):
        assert re.match(r"/\*\* [A-Z].*\.", path.read_text()), path.name
        assert len(path.read_text().splitlines()) < 500, path.name
    assert "orders/trade/page.js" in modules()


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_without_scripts_a_form_sends_an_order() -> None:
    page = await get("/", **BROWSER)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    fields = {"amountIn": "1.5", "tokenIn": "SOL", "tokenOut": "USDC", "slippageBps": "100"}
    form = "&".join(f"{name}={value}" for name, value in fields.items())
    cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    sent = await request(
        "POST",
        "/api/orders/execute",
        f"{form}&csrfmiddlewaretoken={token[1]}".encode(),
        content_type="application/x-www-form-urlencoded",
        cookie=cookies,
        **BROWSER,
    )
    assert sent.status == 201
    assert "Sell 1.5 SOL for USDC" in sent.text


async def test_orders_are_not_sent_to_the_page() -> None:
    assert (await post("/", {})).status in (403, 405)


async def test_a_file_that_is_not_there_is_not_found() -> None:
    assert (await get("/static/orders/nothing.js")).status == 404


async def test_every_page_has_an_icon() -> None:
    answer = await get("/favicon.ico")
    assert answer.status == 302
    assert (await get(answer.headers["location"])).headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("reference", "shown"),
    [("100", 4), ("0.5", 4), ("0.00002", 8), ("0.0000002", 10), ("60000", 4), ("1", 4)],
)
def test_prices_are_shown_with_as_many_decimals_as_tell_something(
    reference: str, shown: int
) -> None:
    assert decimals.of_price(Decimal(reference)) == shown


def test_amounts_are_shown_by_what_their_token_is_worth() -> None:
    shown = {token.symbol: decimals.of_amount(REGISTRY, token) for token in (SOL, USDC, BONK)}
    assert shown == {"SOL": 4, "USDC": 4, "BONK": 0}
    alone = Token("NEW", "N" * 43, 3)
    assert decimals.of_amount(Registry([*REGISTRY.tokens, alone], []), alone) == 3
