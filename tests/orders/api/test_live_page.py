"""The live page without a browser: what is sent. What it does is in tests/browser."""

import pytest

from routing.tokens import MARKETS, REGISTRY
from tests.support.client import get, request

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/", "/test", "/test/"])
async def test_the_page_offers_every_market_and_sets_no_cookie(path: str) -> None:
    answer = await get(path, **BROWSER)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.cookies == {}
    direct, in_two_hops = answer.text.split('<optgroup label="In two hops">')
    for market in MARKETS:
        assert f">{market.name}</option>" in direct
    for market in REGISTRY.joined():
        assert f">{market.name}</option>" in in_two_hops
    assert "<option selected>SOL/USDC</option>" in direct


async def test_the_page_holds_no_script_and_no_style_of_its_own() -> None:
    text = (await get("/")).text

    assert text.count("<script") == 2
    assert '<script id="engine" type="application/json">' in text
    assert '<script type="module" src="/static/orders/live.js">' in text
    assert "<style" not in text
    assert "style=" not in text
    assert "onclick" not in text


async def test_orders_are_not_sent_to_the_page() -> None:
    assert (await request("POST", "/", b"{}", content_type="application/json")).status in (403, 405)


async def test_browsers_ask_each_time_whether_a_file_is_still_the_same() -> None:
    file = await get("/static/orders/live.js")

    assert file.status == 200
    assert file.headers["content-type"].startswith("text/javascript")
    assert file.headers["cache-control"] == "no-cache"
    assert file.headers["x-content-type-options"] == "nosniff"
    again = await get("/static/orders/live.js", if_modified_since=file.headers["last-modified"])
    assert again.status == 304


async def test_a_file_that_is_not_there_is_not_found() -> None:
    assert (await get("/static/orders/nothing.js")).status == 404


async def test_every_page_has_an_icon() -> None:
    answer = await get("/favicon.ico")
    assert answer.status == 302
    assert (await get(answer.headers["location"])).headers["content-type"] == "image/svg+xml"
