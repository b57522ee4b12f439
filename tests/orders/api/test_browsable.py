from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import Client

from config.runtime.session import DEADLINE
from orders.api import key_views, markets, views
from orders.api.base_views import ProblemAPIView
from orders.api.reading.serializers import EXAMPLE
from orders.api.reading.term_fields import NAMES as TERM_NAMES
from orders.api.renderers import PageRenderer
from orders.lifecycle import Status
from tests.support.accounts import make_account
from tests.support.client import SELL_SOL, Answer, count_stored, get, post, request, submit
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop")

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FORM = "application/x-www-form-urlencoded"
DATA_SCRIPT = '<script type="application/json"'


@dataclass
class Form:
    action: str
    method: str
    encoding: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """What a person can use on a page: forms, links, and what is written there."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            encoding = given.get("enctype", FORM)
            self.forms.append(Form(given.get("action", ""), given.get("method", "get"), encoding))
        elif tag in ("input", "select", "textarea") and self.forms and "name" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def order_form(self) -> Form:
        """The form that asks for an order."""
        (form,) = (form for form in self.forms if "tokenIn" in form.fields)
        return form


async def fill_in(form: Form, cookies: dict[str, str], **values: str) -> Answer:
    """Send a form as a browser does: all its fields, the empty ones too, and the cookies."""
    body = urlencode(form.fields | values).encode()
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return await request(
        form.method.upper(), form.action, body, content_type=FORM, cookie=cookie, **BROWSER
    )


@pytest.mark.parametrize("path", ["/api/orders/execute", "/api/orders", "/execute/"])
async def test_a_person_finds_a_form_with_every_field_of_an_order(path: str) -> None:
    form = Page(await get(path, **BROWSER)).order_form

    assert form.method.upper() == "POST"
    assert form.action == path
    assert set(form.fields) == {
        *("csrfmiddlewaretoken", "tokenIn", "tokenOut", "baseToken", "quoteToken", "side"),
        *("amountIn", "amount", "amountOut", "slippageBps", "slippage", "type", "orderType"),
        "clientOrderId",
        *("maxPriceImpactBps", "venues", "excludeVenues"),
        *TERM_NAMES,
    }


async def test_a_person_sends_an_order_that_rests_by_the_form_and_finds_it_filled_in() -> None:
    page = await get("/api/orders/execute", **BROWSER)
    terms = {"type": "limit", "limitPrice": "112", "slippageBps": "", "tags": '{"desk":"a"}'}
    terms |= {"takeProfit": '{"limitPrice":"88"}', "timeInForce": "gtd", "expiresInSeconds": "60"}
    answer = await fill_in(Page(page).order_form, page.cookies, **SELL_SOL, **terms)

    assert answer.status == 201, answer.text
    stored = (await get(answer.headers["location"])).json
    assert (stored["status"], stored["limitPrice"]) == ("open", "112")
    assert (stored["tags"], stored["takeProfit"]) == ({"desk": "a"}, {"limitPrice": "88"})
    again = Page(answer).order_form.fields
    assert (again["limitPrice"], again["tags"]) == ("112", '{"desk":"a"}')


async def test_a_person_sends_an_oco_by_the_form(prices: None) -> None:
    page = await get("/api/orders/execute", **BROWSER)
    exits = {"takeProfit": '{"limitPrice":"112"}', "stopLoss": '{"triggerPrice":"95"}'}
    exits |= {"type": "oco", "slippageBps": ""}
    answer = await fill_in(Page(page).order_form, page.cookies, **SELL_SOL, **exits)

    assert answer.status == 201, answer.text
    assert len([link for link in Page(answer).links if link.endswith("/events")]) == 2


async def test_a_person_sends_an_order_by_the_form_and_is_led_on_from_it() -> None:
    page = await get("/api/orders/execute", **BROWSER)
    answer = await fill_in(Page(page).order_form, page.cookies, **SELL_SOL)

    assert answer.status == 201
    found = Page(answer)
    assert "Order received and queued" in found.text
    (order_url,) = {link for link in found.links if link.endswith(answer.headers["location"])}
    assert f"{order_url}/events" in found.links
    stored = await get(answer.headers["location"])
    assert (stored.json["amountIn"], stored.json["status"]) == ("1.5", "pending")


async def test_the_form_is_filled_in_and_can_be_sent_as_it_is() -> None:
    page = await get("/api/orders", **BROWSER)
    form = Page(page).order_form
    filled = {name: value for name, value in form.fields.items() if value}
    filled.pop("csrfmiddlewaretoken")

    assert filled == EXAMPLE
    answer = await fill_in(form, page.cookies)
    assert answer.status == 201


async def test_a_form_may_come_as_multipart_as_the_page_asks() -> None:
    page = await get("/api/orders", **BROWSER)
    form = Page(page).order_form

    assert form.encoding == "multipart/form-data"
    values = form.fields | SELL_SOL
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in values.items()
    ]
    answer = await request(
        "POST",
        form.action,
        "".join([*parts, "--edge--\r\n"]).encode(),
        content_type="multipart/form-data; boundary=edge",
        cookie=f"csrftoken={page.cookies['csrftoken']}",
        **BROWSER,
    )
    assert answer.status == 201


async def test_a_form_filled_in_wrongly_is_shown_with_what_is_wrong() -> None:
    page = await get("/api/orders", **BROWSER)
    before = count_stored()
    answer = await fill_in(Page(page).order_form, page.cookies, **SELL_SOL | {"amountIn": "-1"})

    assert answer.status == 400
    shown = Page(answer)
    assert "The amount must be above zero." in shown.text
    assert shown.order_form.fields["amountIn"] == "-1"
    assert count_stored() == before


async def test_a_form_that_gives_a_field_twice_is_refused_and_nothing_is_stored() -> None:
    page = await get("/api/orders", **BROWSER)
    before, token = count_stored(), page.cookies["csrftoken"]
    fields = [*SELL_SOL.items(), ("amountIn", "150"), ("csrfmiddlewaretoken", token)]
    cookie = f"csrftoken={token}"
    answer = await request(
        "POST", "/execute", urlencode(fields).encode(), content_type=FORM, cookie=cookie
    )

    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [
        ("amountIn", "given_twice")
    ]
    assert count_stored() == before


async def test_a_list_of_venues_sent_as_json_stays_one_in_the_form() -> None:
    refused = SELL_SOL | {"amountIn": "-1", "venues": ["raydium", "meteora"]}
    page = await post("/api/orders", refused, **BROWSER)
    answer = await fill_in(Page(page).order_form, page.cookies, amountIn="1")

    assert answer.status == 201
    stored = await get(answer.headers["location"])
    assert stored.json["venues"] == ["raydium", "meteora"]


@pytest.mark.parametrize("who", ["nobody", "a person", "a program"])
async def test_a_stored_order_is_told_though_the_database_falls_silent_behind_it(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    page = await get("/api/orders", **BROWSER)
    headers = owner.headers if who == "a program" else {}
    cookies = [f"csrftoken={page.cookies['csrftoken']}"]
    if who == "a person":
        cookies.append((await owner.log_in())["cookie"])
    body = urlencode(Page(page).order_form.fields | SELL_SOL).encode()
    stored = count_stored()
    monkeypatch.setattr(PageRenderer, "get_context", silent)
    answer = await request(
        *("POST", "/execute", body),
        **{"content_type": FORM, "cookie": "; ".join(cookies), **BROWSER, **headers},
    )

    assert answer.status == 201
    order_id = answer.headers["location"].rpartition("/")[2]
    assert f'"orderId": "{order_id}"' in Page(answer).text
    assert "try again" not in answer.text
    assert count_stored() > stored


async def test_a_person_whose_session_cannot_be_read_is_told_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = await get("/api/orders", **BROWSER)
    monkeypatch.setattr(SessionStore, "load", silent)
    form, cookies = Page(page).order_form, {"sessionid": "x" * 32, **page.cookies}
    answer = await fill_in(form, cookies, **SELL_SOL)

    assert answer.status == 503
    assert "Nothing was stored" in Page(answer).text
    answer = await fill_in(form, cookies, **SELL_SOL, clientOrderId="c")
    assert answer.status == 503
    assert "Nothing was stored" not in Page(answer).text


@pytest.mark.parametrize(("method", "is_denied"), [("GET", True), ("POST", False)])
async def test_what_breaks_behind_an_answer_does_not_deny_an_order(
    method: str, is_denied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await get("/api/orders", **BROWSER)
    monkeypatch.setattr(SessionMiddleware, "process_response", silent)
    form = Page(page).order_form
    form.method = method
    answer = await fill_in(form, page.cookies, **SELL_SOL)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert ("The database does not answer, try again" in answer.text) == is_denied
    assert ("Look at /api/orders before" in answer.text) == (not is_denied)


async def test_a_page_is_made_before_its_request_has_to_be_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    make = PageRenderer.get_context

    def get_context(self: Any, *arguments: Any) -> Any:
        seen.append(DEADLINE.get())
        return make(self, *arguments)

    monkeypatch.setattr(PageRenderer, "get_context", get_context)
    order_id = await submit()
    for path in ("/api/orders", f"/api/orders/{order_id}"):
        assert (await get(path, **BROWSER)).status == 200
    assert len(seen) == 2
    assert None not in seen


async def test_a_page_that_breaks_by_a_fault_of_ours_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PageRenderer, "template", "no/such.html")
    assert (await get("/health", **BROWSER)).status == 500


def silent(*_: object) -> None:
    raise OperationalError("the server said nothing")


@pytest.mark.parametrize("stolen", [{}, {"csrfmiddlewaretoken": ""}, {"csrfmiddlewaretoken": "x"}])
async def test_a_form_on_another_site_sends_nothing_in_our_name(stolen: dict[str, str]) -> None:
    page = await get("/api/orders", **BROWSER)
    body = urlencode(SELL_SOL | stolen).encode()
    before = count_stored()
    cookie = f"csrftoken={page.cookies['csrftoken']}"
    answer = await request("POST", "/execute", body, content_type=FORM, cookie=cookie)

    assert (answer.status, answer.json["error"]) == (403, "permission_denied")
    answer = await request("POST", "/execute", body, content_type=FORM)
    assert (answer.status, answer.json["error"]) == (415, "unsupported_media_type")
    assert count_stored() == before


async def test_a_form_from_another_site_is_refused_even_with_the_token() -> None:
    page = await get("/api/orders", **BROWSER)
    token = page.cookies["csrftoken"]
    answer = await request(
        "POST",
        "/execute",
        urlencode(SELL_SOL | {"csrfmiddlewaretoken": token}).encode(),
        content_type=FORM,
        cookie=f"csrftoken={token}",
        origin="https://another.example",
    )

    assert answer.status == 403


async def test_a_form_on_another_site_cancels_nothing() -> None:
    order_id = await submit()
    for content_type in (FORM, "multipart/form-data; boundary=edge", "text/plain"):
        path = f"/api/orders/{order_id}/cancel"
        answer = await request("POST", path, b"", content_type=content_type)
        assert answer.status == 403

    assert (await get(f"/api/orders/{order_id}")).json["status"] == "pending"


async def test_the_page_of_an_order_leads_to_its_log_its_cancellation_and_all_others() -> None:
    order_id = await submit()
    page = Page(await get(f"/api/orders/{order_id}", **BROWSER))
    order_url = f"http://testserver/api/orders/{order_id}"

    assert {f"{order_url}/events", f"{order_url}/cancel"} < set(page.links)
    assert "http://testserver/api/orders" in page.links
    assert f"ws://testserver/ws/orders/{order_id}" in page.text


@pytest.mark.parametrize("is_submitted", [True, False])
async def test_what_cannot_be_cancelled_has_no_link_to_do_it(is_submitted: bool) -> None:
    order_id = await submit()
    if is_submitted:
        await Walker(order_id).walk(Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    else:
        await confirm(order_id)
    page = Page(await get(f"/api/orders/{order_id}", **BROWSER))

    assert not [link for link in page.links if link.endswith("/cancel")]


async def test_the_page_of_an_order_cancels_it_by_a_button() -> None:
    order_id = await submit()
    page = await get(f"/api/orders/{order_id}", **BROWSER)
    (form,) = (form for form in Page(page).forms if form.action.endswith("/cancel"))
    answer = await fill_in(form, page.cookies)

    assert answer.status == 200
    assert '"status": "cancelled"' in Page(answer).text
    assert (await get(f"/api/orders/{order_id}")).json["status"] == "cancelled"
    after = Page(await get(f"/api/orders/{order_id}", **BROWSER))
    assert not [form for form in after.forms if form.action.endswith("/cancel")]


@pytest.mark.parametrize(("is_staff", "links"), [(True, 1), (False, 0)])
async def test_only_staff_is_led_to_the_admin(is_staff: bool, links: int) -> None:
    order_id = await submit()
    async with logged_in(is_staff=is_staff) as cookie:
        answer = await get(f"/api/orders/{order_id}", cookie=cookie, **BROWSER)
        page, token = Page(answer), answer.cookies["csrftoken"]
        cookie = f"{cookie}; csrftoken={token}"
        sent = await post("/execute", SELL_SOL, cookie=cookie, x_csrftoken=token)
        listed = (await get("/api/orders", cookie=cookie)).json["results"]
    admin = f"http://testserver/admin/orders/order/{order_id}/change/"

    assert page.links.count(admin) == links
    assert [order["orderId"] for order in listed] == [sent.json["orderId"]]
    assert [len({"admin"} & set(order["links"])) for order in listed] == [links]
    assert ("admin" in sent.json["links"]) == bool(links), sent.text


@asynccontextmanager
async def logged_in(*, is_staff: bool) -> AsyncIterator[str]:
    """The cookie of somebody who has logged in, and out afterwards."""

    def enter() -> str:
        user = User.objects.create_user(f"ada-{uuid4()}", is_staff=is_staff)
        client = Client()
        client.force_login(user)
        connection.close()
        return f"sessionid={client.cookies['sessionid'].value}"

    def leave() -> None:
        Session.objects.all().delete()
        connection.close()

    yield await sync_to_async(enter)()
    await sync_to_async(leave)()


@pytest.mark.parametrize(
    ("path", "taught"),
    [
        ("/api/orders", "curl http://testserver/api/orders/execute"),
        ("/api/orders/{id}", "python -m websockets ws://testserver/ws/orders/{id}"),
        ("/api/orders/{id}/events", "ws://testserver/ws/orders/{id}?after=2"),
        ("/api/orders/{id}/cancel", "curl -X POST http://testserver/api/orders/{id}/cancel"),
        ("/health", "curl http://testserver/health"),
    ],
)
async def test_every_page_teaches_by_an_example(path: str, taught: str) -> None:
    order_id = await submit()
    page = Page(await get(path.format(id=order_id), **BROWSER))
    assert taught.format(id=order_id) in page.text
    assert {"/api/docs", "/api/docs/sockets", "/admin/"} < set(page.links)


async def test_the_examples_of_lists_are_lists() -> None:
    links = Page(await get("/api/orders", **BROWSER)).links
    examples = [link for link in links if link.startswith("/api/orders?") and "format" not in link]
    assert len(examples) >= 5
    for example in examples:
        assert (await get(example)).status == 200, example


async def test_the_pages_hold_nothing_that_a_strict_policy_forbids() -> None:
    order_id = await submit()
    for path in ("/api/orders", f"/api/orders/{order_id}", "/health"):
        text = (await get(path, **BROWSER)).text
        assert "<style" not in text
        assert " style=" not in text
        assert text.count("<script") == text.count("<script src=") + text.count(DATA_SCRIPT)


@pytest.mark.parametrize("path", ["/health", "/api/orders/{id}/events", "/api/orders/{id}/cancel"])
async def test_every_page_can_be_looked_at(path: str) -> None:
    order_id = await submit()
    answer = await get(path.format(id=order_id), **BROWSER)
    assert answer.status in (200, 405)
    assert Page(answer).links


async def test_an_order_in_json_from_a_browser_is_shown_as_a_page() -> None:
    answer = await post("/execute", SELL_SOL, **BROWSER)
    assert answer.status == 201
    assert "Order received and queued" in Page(answer).text


@pytest.mark.parametrize(
    "sent",
    [
        {"tokenIn": {"a": [1]}, "amount": [1], "x": "<b>"},
        {"tokenIn": "<script>", "tokenOut": 1e99, "amount": True},
        [1],
        None,
    ],
)
async def test_whatever_was_sent_in_json_is_shown_on_the_page_unharmed(sent: Any) -> None:
    answer = await post("/execute", sent, **BROWSER)
    assert answer.status == 400
    assert set(EXAMPLE) < set(Page(answer).order_form.fields)
    assert "<b>" not in answer.text.partition("invalid_order")[2]
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (views.OrdersView, "Orders"),
        (views.OrderView, "Order"),
        (views.EventsView, "Events"),
        (views.RouteView, "Route"),
        (views.CancelView, "Cancel"),
        (views.MarketsView, "Markets"),
        (markets.PricesView, "Prices"),
        (views.HealthView, "Health"),
        (views.TicketsView, "Tickets for WebSockets"),
        (key_views.KeysView, "API keys"),
        (key_views.KeyView, "API key"),
        (key_views.RotateKeyView, "Rotate"),
        (key_views.RevokeKeyView, "Revoke"),
    ],
)
def test_a_page_is_headed_by_what_it_shows(view: type[ProblemAPIView], name: str) -> None:
    assert view().get_view_name() == name
