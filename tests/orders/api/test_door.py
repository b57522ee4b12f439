"""Who is let in, by name, address and count; what is not taken in the clear, kept, or written."""

import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client, RequestFactory, override_settings

from config.http import door
from config.runtime.logs import LONGEST_MESSAGE, formatter
from orders.api.probes import may_read_metrics
from orders.urls import probe_paths
from tests.support.accounts import Account, make_account
from tests.support.client import (
    HOST,
    SELL_SOL,
    Refused,
    Socket,
    connected,
    count_stored,
    get,
    handshake,
    post,
    request,
)

pytestmark = pytest.mark.usefixtures("engine_loop")

ENTRY = "/api/orders/execute"
HOSTS = ["testserver", "127.0.0.1", "localhost", "[::1]"]
FOREIGN_HOSTS = [
    *(
        "evil.test",
        "evil.test:8490",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
        "evil.localhost",
    ),
    *(
        "[::1].evil",
        "[::1]evil.test",
        "testserver@evil.test",
        "evil.test/testserver",
    ),
    *(
        "testserver,evil.test",
        "evil.test, testserver",
        "",
        " ",
        "testserver evil.test",
        "xtestserver",
    ),
]
PAGE = f"http://{HOST}"
TRUSTED = "https://app.example"
TOKEN = "of-nobody-and-long-enough"


@pytest.fixture(autouse=True)
def nobody_stands_at_the_door() -> Iterator[None]:
    yield
    assert len(door.sockets) == 0, "each socket gave its place back"


@override_settings(ALLOWED_HOSTS=HOSTS)
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_socket_by_a_name_that_is_not_ours_is_refused_though_its_page_is_of_that_name(
    host: str,
) -> None:
    for path in (ENTRY, "/ws/orders/1"):
        assert (await handshake(path, host=host)).status == 400
        assert (await handshake(path, host=host, origin=f"http://{host}")).status == 400
        assert (await handshake(path, host=host, origin="https://other.test")).status == 400
    assert count_stored() == 0


@override_settings(ALLOWED_HOSTS=HOSTS)
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_probe_by_a_name_that_is_not_ours_tells_nothing(host: str) -> None:
    for path in probe_paths():
        answer = await get(path, host=host)
        assert (answer.status, answer.json["error"]) == (400, "bad_request"), path
        assert "engine_" not in answer.text


@override_settings(ALLOWED_HOSTS=HOSTS)
async def test_two_hosts_are_none_of_ours() -> None:
    for path in ("/livez", "/metrics", "/api/orders"):
        answer = await request("GET", path, lines=[(b"host", b"evil.test")])
        assert answer.status == 400, path


@override_settings(ALLOWED_HOSTS=HOSTS)
@pytest.mark.parametrize("host", ["testserver", "TESTSERVER:80", "127.0.0.1:8000", "[::1]:8000"])
async def test_a_socket_by_a_name_of_ours_is_opened(host: str) -> None:
    account = make_account()
    assert (await handshake(ENTRY, host=host, **account.headers)).status == 101
    origin = f"http://{host}"
    async with connected(ENTRY, host=host, origin=origin, **account.headers) as socket:
        await is_known(socket)


SPEAKS = [
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "forwarded"),
    *("x-real-ip", "via", "cf-connecting-ip", "true-client-ip", "x-client-ip"),
]


@override_settings(METRICS_TOKEN="")
@pytest.mark.parametrize("name", SPEAKS)
async def test_metrics_are_not_for_whom_a_proxy_on_this_machine_speaks(name: str) -> None:
    for value in ("203.0.113.7", "127.0.0.1", ""):
        for path in ("/metrics", "/metrics/"):
            answer = await request("GET", path, lines=[(name.encode(), value.encode())])
            assert answer.status == 401, value
            assert "engine_" not in answer.text


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        *(("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True)),
        *(("203.0.113.7", False), ("::ffff:203.0.113.7", False), ("10.0.0.1", False)),
        *(("2002:7f00:1::1", False), ("64:ff9b::7f00:1", False), ("::127.0.0.1", False)),
        *(("", False), ("localhost", False), ("[::1].evil", False), ("0.0.0.0", False)),
    ],
)
def test_metrics_without_a_token_are_for_this_machine(peer: str, may: bool) -> None:
    with override_settings(METRICS_TOKEN=""):
        assert may_read_metrics(RequestFactory().get("/metrics", REMOTE_ADDR=peer)) is may


@override_settings(METRICS_TOKEN=TOKEN)
async def test_metrics_are_for_the_token_from_anywhere() -> None:
    by_proxy = {"x_forwarded_for": "203.0.113.7"}
    right = await get("/metrics", authorization=f"bearer {TOKEN}", **by_proxy)

    assert right.status == 200
    for word in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer ", TOKEN, "Bearer \xff"):
        wrong = await get("/metrics", authorization=word, **by_proxy)
        assert (wrong.status, wrong.json["error"]) == (401, "not_authenticated"), word


PLACES = [
    *(
        ("GET", path)
        for path in ("/api/orders", "/api/orders/1", "/api/orders/1/events", "/health")
    ),
    *(("GET", path) for path in ("/api/orders/1/route", "/livez", "/readyz/", "/metrics", "/")),
    *(("GET", path) for path in ("/nothing", "/admin/", "/accounts/login/", "/account/keys")),
    *(("GET", path) for path in ("/static/orders/trade/page.js", "/api/markets", "/api/schema")),
    *(("POST", path) for path in ("/api/orders/1/cancel", "/api/ws-tickets", ENTRY, "/execute/")),
    *(("DELETE", path) for path in ("/api/orders/1", "/api/account/keys/oee_1")),
    *(("HEAD", "/api/orders"), ("PUT", "/api/orders"), ("OPTIONS", "/api/orders")),
]


@override_settings(SECURE_SSL_REDIRECT=True, METRICS_TOKEN=TOKEN)
@pytest.mark.parametrize(("method", "path"), PLACES)
async def test_a_key_in_clear_text_is_refused_on_every_path(method: str, path: str) -> None:
    account = make_account()
    for page in ({}, {"accept": "text/html"}, {"cookie": "a=b"}):
        for word in (account.headers["authorization"], "Basic YTpi", "x"):
            answer = await request(method, path, authorization=word, **page)
            assert (answer.status, answer.json["error"]) == (403, "https_required")
            assert "location" not in answer.headers


@override_settings(SECURE_SSL_REDIRECT=True, METRICS_TOKEN=TOKEN)
async def test_the_token_of_metrics_may_come_in_clear_text_to_the_metrics_alone() -> None:
    word = f"Bearer {TOKEN}"
    assert (await get("/metrics", authorization=word)).status == 200
    assert (await get("/metrics/", authorization=word)).status == 200
    for path in ("/livez", "/api/orders", "/metricsx"):
        assert (await get(path, authorization=word)).status == 403, path


@override_settings(SECURE_SSL_REDIRECT=True)
async def test_no_socket_is_opened_in_clear_text_where_https_is_on() -> None:
    account = make_account()
    for path in (ENTRY, "/ws/orders/1", f"{ENTRY}?ticket=x"):
        for said in ({}, {"origin": PAGE}, account.headers):
            with pytest.raises(Refused):
                async with connected(path, **said):
                    pass


async def test_nothing_of_an_account_is_kept_by_a_cache_between() -> None:
    account = make_account()
    cookie = await account.log_in()
    order = await post(ENTRY, SELL_SOL, **account.headers)
    order_id = order.json["orderId"]
    asked = [
        *(f"/api/orders{end}" for end in ("", f"/{order_id}", "?limit=1", "?nothing=1", "/1")),
        *(f"/api/orders/{order_id}/{part}" for part in ("events", "route")),
        *("/account/keys", "/accounts/sessions/", "/accounts/password/", "/accounts/login/"),
        *("/api/account/keys", "/nothing", "/admin/"),
    ]
    answers = [order, await post("/api/ws-tickets", b"", **account.headers)]
    answers.append(await post(ENTRY, {}, **account.headers))
    answers.append(await post(ENTRY, b"{", **account.headers))
    answers.append(await post(ENTRY, b"x" * 70_000, **account.headers))
    answers.append(await get("/api/orders", authorization="Bearer wrong"))
    answers.append(await get("/api/orders", cookie="sessionid=x"))
    for path in asked:
        for accept in ("application/json", "text/html"):
            answers.append(await get(path, accept=accept, **cookie))
            answers.append(await get(path, accept=accept, **account.headers))
    for answer in answers:
        assert "no-store" in answer.headers["cache-control"], answer.text[:300]


@pytest.mark.parametrize(
    "path",
    ["/static/orders/trade/page.js", "/api/markets", "/api/schema", "/api/docs", "/api/schema/"],
)
async def test_what_everybody_gets_alike_may_be_kept(path: str) -> None:
    answer = await get(path)
    assert answer.status == 200
    assert "no-store" not in answer.headers.get("cache-control", "")


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../x", "/static/../../etc/passwd", "/static/%2e%2e/x", "/static/..%2fx"),
        *("/static//etc/passwd", "/static/%00", "/static/a%00b.css", "/static/....//x"),
        *("/static/orders/../../../x", "/static/" + "x" * 5000, "/static/" + "a/" * 2000),
        *("/static/%ff", "/static/..", "/static/.", "/static/", "/static/\\..\\x"),
    ],
)
async def test_a_file_outside_is_not_there(path: str) -> None:
    answer = await get(path)
    assert answer.status == 404
    assert "nosniff" in answer.headers["x-content-type-options"]


JUNK = ["%00", "a%00b", "%ff", "9" * 400, "99999999999", "-1", "1e9", "'", "%ed%a0%80"]


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/orders/transactionbysignature/{}/change/", "/admin/orders/order/{}/change/"),
        *("/admin/orders/order/?q={}", "/admin/orders/order/?created_at__year={}"),
        *("/admin/orders/order/?created_at__gte={}", "/admin/orders/order/?p={}"),
        *(
            "/admin/orders/order/?venue={}",
            "/admin/auth/user/{}/change/",
            "/admin/orders/apikey/?o={}",
        ),
        "/admin/autocomplete/?app_label=orders&model_name=apikey&field_name=owner&term={}",
    ],
)
async def test_staff_is_told_too_where_an_address_makes_no_sense(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def look() -> set[int]:
        user = User.objects.create(username="root", is_staff=True, is_superuser=True)
        client = Client(raise_request_exception=False)
        client.force_login(user)
        found = {client.get(path.format(text)).status_code for text in JUNK}
        user.delete()
        return found

    found = await sync_to_async(look)()
    assert max(found) < 500, caplog.text[-2000:]
    assert "Error" not in caplog.text


@override_settings(MAX_SOCKETS=2)
async def test_an_address_has_so_many_anonymous_sockets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(connected(ENTRY, origin=PAGE))
        refused = await handshake(ENTRY)
        assert (refused.status, refused.json["error"]) == (429, "too_many_sockets")
        assert refused.headers["retry-after"] == "5"
        await is_told_in_a_frame(origin=PAGE)

    assert limits_in(caplog) == {("sockets", None)}
    assert (await handshake(ENTRY)).status == 101


@override_settings(MAX_SOCKETS=2)
async def test_an_account_has_so_many_sockets_and_another_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice, bob = make_account(), make_account()
    async with AsyncExitStack() as held:
        for _ in range(2):
            socket = await held.enter_async_context(connected(ENTRY, **alice.headers))
            await is_known(socket)
        refused = await handshake(ENTRY, **alice.headers)
        assert (refused.status, refused.json["error"]) == (429, "too_many_sockets")
        assert refused.headers["retry-after"] == "5"
        await is_told_in_a_frame(origin=PAGE, **alice.headers)
        assert limits_in(caplog) == {("sockets", alice.id)}
        assert (await handshake(ENTRY, **bob.headers)).status == 101
        assert (await handshake(ENTRY)).status == 101, "nor does it take its address's places"

    assert (await handshake(ENTRY, **alice.headers)).status == 101


def limits_in(caplog: pytest.LogCaptureFixture) -> set[tuple[str, int | None]]:
    """Return which limits were hit, each with its account."""
    lines = [one for one in caplog.records if one.getMessage() == "limit_hit"]
    return {(line.__dict__["limit"], line.__dict__.get("account")) for line in lines}


async def is_known(socket: Socket) -> None:
    """Wait until the engine has learned for whom the socket acts."""
    await socket.send({"action": "?"})
    assert (await socket.message())["error"] == "unknown_action"


async def is_told_in_a_frame(**headers: str) -> None:
    async with connected(ENTRY, **headers) as socket:
        (told,), code = await socket.rest()
    assert code == 4429
    assert (told["type"], told["error"], told["httpStatus"]) == ("error", "too_many_sockets", 429)
    assert told["retryAfter"] == 5
    assert {"title", "detail", "message"} <= told.keys()
    assert "status" not in told


@override_settings(ALLOWED_ORIGINS=[TRUSTED], ALLOW_ANONYMOUS_ORDERS=False)
async def test_a_trusted_page_acts_with_what_it_brings_and_never_with_the_visitors_session() -> (
    None
):
    alice = make_account()
    cookie = await alice.log_in()
    path = f"/ws/orders/{await submitted_by(alice)}"
    for origin, extra, query, error in [
        (PAGE, cookie, "", None),
        (TRUSTED, cookie, "", "not_authenticated"),
        (TRUSTED, alice.headers, "", None),
        (TRUSTED, {**cookie, **alice.headers}, "", None),
        (TRUSTED, {}, "ticket", None),
        (TRUSTED, cookie, "ticket", None),
        (TRUSTED, cookie, "junk", "not_authenticated"),
        ("http://testserver:8080", cookie, "", Refused),
        ("https://testserver.evil", cookie, "", Refused),
        ("null", cookie, "ticket", Refused),
    ]:
        ticket = await ticket_of(alice) if query == "ticket" else query
        address = f"{path}?ticket={ticket}" if query else path
        if error is Refused:
            with pytest.raises(Refused):
                async with connected(address, origin=origin, **extra):
                    pass
            continue
        async with connected(address, origin=origin, **extra) as socket:
            assert (await socket.message()).get("error") == error, (origin, query)


async def submitted_by(account: Account) -> str:
    answer = await post(ENTRY, SELL_SOL, **account.headers)
    order_id: str = answer.json["orderId"]
    return order_id


async def ticket_of(account: Account) -> str:
    answer = await post("/api/ws-tickets", b"", **account.headers)
    ticket: str = answer.json["ticket"]
    return ticket


LONG = "x" * 60_000


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/{LONG}", {}),
        (f"/api/orders/{LONG}", {"authorization": "Bearer wrong"}),
        (f"/api/orders?{LONG}=1", {}),
        ("/api/orders", {"host": LONG}),
        ("/api/orders", {"origin": f"https://{LONG}"}),
        ("/api/orders", {"user_agent": LONG, "referer": LONG}),
        ("/accounts/login/", {"cookie": f"sessionid={LONG}"}),
        ("/api/orders", {"authorization": f"Bearer {LONG}"}),
        ("/api/orders", {"x_request_id": LONG}),
        ("/api/orders", {"x_forwarded_for": LONG}),
    ],
)
async def test_no_client_makes_a_line_of_the_log_long(
    path: str, headers: dict[str, str], form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await get(path, **headers)
    await post(path, {}, **headers)
    line = formatter(form)
    assert all(len(line.format(record)) < LONGEST_MESSAGE + 1000 for record in caplog.records)
