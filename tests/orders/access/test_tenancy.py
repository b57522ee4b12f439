"""Nobody sees or touches what is another's: every URL and every socket, with every credential.

A URL that is added later fails the first test until somebody says here whose it is.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings
from django.urls import URLPattern, URLResolver, get_resolver

from orders.access import accounts
from orders.access.keys import digest_of
from orders.sockets.urls import websocket_routes
from orders.urls import entry_paths
from tests.support.accounts import Account, execute, make_account
from tests.support.client import HOST, SELL_SOL, Answer, connected, count_stored, get, post, request
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

ORDER, ENTRY, ACCOUNT, OPEN, PEOPLE, PRICES = (
    "one order's",
    "order entry",
    "an account's",
    "all's",
    "staff's",
    "all's who may send orders",
)
KINDS = {
    "^api/orders/(?P<order_id>[^/]+)$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/?$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/events$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/events/?$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/route$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/route/?$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/cancel/?$": ORDER,
    "^api/orders/(?P<order_id>[^/]+)/replace/?$": ORDER,
    # These have tests in tests/orders/api, of others' orders as well.
    **{f"^api/orders/{word}/?$": ENTRY for word in ("batch", "preview")},
    "^api/orders/cancel/?$": ORDER,
    "^api/orders/cancel-all/?$": ACCOUNT,
    r"^api/orders\.csv/?$": ACCOUNT,  # test_export.py
    **{f"^api/{path}/?$": ACCOUNT for path in ("orders/stream", "events")},  # api/following
    **{f"^{path[1:]}?$": ENTRY for path in entry_paths() if path.endswith("/")},
    "^api/ws-tickets/?$": ACCOUNT,
    "^api/analytics/execution-quality/?$": ACCOUNT,  # orders/quality/test_measuring.py
    "^account/keys/?$": ACCOUNT,  # these have tests in test_own_keys.py
    "^api/account/keys/?$": ACCOUNT,
    "^api/account/keys/(?P<prefix>[^/]+)$": ACCOUNT,
    "^api/account/keys/(?P<prefix>[^/]+)/?$": ACCOUNT,
    "^api/account/keys/(?P<prefix>[^/]+)/rotate/?$": ACCOUNT,
    "^api/account/keys/(?P<prefix>[^/]+)/revoke/?$": ACCOUNT,
    **{f"^{probe}/?$": OPEN for probe in ("health", "api/health", "livez", "readyz", "metrics")},
    "^api/markets/?$": OPEN,
    "^api/prices/?$": OPEN,
    "^api/me/?$": OPEN,  # orders/api/test_me.py
    "^api/quotes/?$": PRICES,
    "trade": OPEN,
    "": OPEN,  # the trading page, and what describes the API
    "^test/?$": OPEN,
    "favicon.ico": OPEN,
    **{f"^api/{page}/?$": OPEN for page in ("schema", "schema/sockets", "docs", "docs/sockets")},
    **{f"^api/schema/{file}/?$": OPEN for file in (r"asyncapi\.yaml", r"types\.ts")},
    **dict.fromkeys(("llms.txt", "docs", "docs/", "docs/<path:name>"), OPEN),
    "accounts/login/": OPEN,
    "accounts/logout/": OPEN,
    # What the session alone says whose it is; tests/logins look at these.
    **{
        f"accounts/{page}/": PEOPLE
        for page in ("second-factor", "second-factor/enrol", "password", "sessions", "sessions/end")
    },
    "admin/": PEOPLE,  # Django's own; its permissions have tests in test_admin.py
}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
ENDS = ("", "/", "/events", "/events/", "/route", "/route/", "/cancel", "/replace")
SEVERAL = tuple(f"/api/orders/{word}" for word in ("batch", "preview", "cancel", "cancel-all"))
ORDER_PATHS = tuple(f"/api/orders/{{}}{end}" for end in ENDS)
KEY_PATHS = tuple(f"/api/account/keys{end}" for end in ("", "/", "/oee_x", "/oee_x/rotate"))
GUARDED_PATHS = (
    *(*ORDER_PATHS, *entry_paths(), "/api/ws-tickets", "/api/ws-tickets/", "/api/quotes"),
    "/api/analytics/execution-quality",
    *SEVERAL,
    *(*KEY_PATHS, "/api/account/keys/oee_x/revoke/"),
    *("/api/orders/stream", "/api/orders/stream/", "/api/events", "/api/events/"),
    *("/api/orders.csv", "/api/orders.csv/"),
)
SOCKET_PATHS = (
    *("/ws/orders/{}", "/ws/orders/{}/", "/execute?orderId={}", "/orders?orderId={}"),
    *("/ws/{}", "/ws/orders/{}/status", "/api/orders/{}/ws", "/api/orders/status/{}"),
    *("/orders/{}/ws", "/order/{}", "/ws?orderId={}", "/api/orders/ws?orderId={}"),
    *("/api/orders/status?orderId={}", "/orders/ws?id={}", "/ws/orders?orderId={}"),
)
ORIGIN = {"origin": f"http://{HOST}"}


def patterns(found: list[Any], prefix: str = "") -> Iterator[str]:
    for one in found:
        route = prefix + str(one.pattern)
        if isinstance(one, URLResolver) and route != "admin/":
            yield from patterns(one.url_patterns, route)
        else:
            assert isinstance(one, URLPattern | URLResolver)
            yield route


def told(answer: Answer, order_id: str) -> tuple[Any, ...]:
    """Return all that an answer tells, the id that was asked for aside."""
    headers = {name: value.replace(order_id, "ID") for name, value in answer.headers.items()}
    for name in ("x-request-id", "ratelimit-remaining", "ratelimit-reset"):
        headers.pop(name, None)  # of the request or its sender, not of the order
    return answer.status, headers, answer.text.replace(order_id, "ID")


async def heard(path: str, **headers: str) -> tuple[list[dict[str, Any]], int]:
    async with connected(path, **headers) as socket:
        return await socket.rest()


async def order_of(account: Account) -> str:
    answer = await post("/execute", SELL_SOL, **account.headers)
    assert answer.status == 201, answer.text
    order_id: str = answer.json["orderId"]
    await confirm(order_id)
    return order_id


async def strangers() -> list[dict[str, str]]:
    """Return the headers of whoever must not see another's order, staff among them."""
    other, staff = make_account(), make_account(is_staff=True)
    return [{}, other.headers, staff.headers, await other.log_in(), await staff.log_in()]


def bad_credentials() -> list[str]:
    """Return what must never be taken, nor be treated as no credential at all."""
    revoked, inactive, account = make_account(), make_account(), make_account()
    revoked.revoke()
    inactive.deactivate()
    keys = [revoked.key, inactive.key, account.another_key(seconds=-1)]
    keys += [account.another_key(is_revoked=True), account.key[:-1], account.key + "A", "x", ""]
    return [
        *(f"Bearer {key}" for key in keys),
        *(f"Bearer oee_{'A' * 43}", f"Basic {account.key}", account.key, "Bearer", ""),
        f"Bearer {account.key}, Bearer {account.key}",
    ]


def test_every_url_is_somebodys() -> None:
    assert set(patterns(get_resolver().url_patterns)) == set(KINDS)


def test_every_socket_path_is_walked_here() -> None:
    walked = [path.partition("?")[0].format(uuid4())[1:] for path in SOCKET_PATHS]
    entries = [path[1:] for path in entry_paths()]
    for route in websocket_routes[:-1]:  # the last one serves nothing
        assert any(route.pattern.match(path) for path in (*walked, *entries, *OPEN_SOCKETS))


OPEN_SOCKETS = ("ws/engine", "ws/prices", "ws/quotes")
"""What they tell is the same for everybody."""


@pytest.mark.parametrize("path", ORDER_PATHS)
async def test_anothers_order_and_none_are_answered_alike(path: str) -> None:
    owner = make_account()
    order_id, nothing = await order_of(owner), str(uuid4())
    for headers in await strangers():
        for method in METHODS:
            foreign = await request(method, path.format(order_id), **headers)
            absent = await request(method, path.format(nothing), **headers)
            assert told(foreign, order_id) == told(absent, nothing), (method, headers)
            assert foreign.status not in (201, 202, 409)
            assert "SOL" not in foreign.text
    refused = {"/cancel": 409, "/replace": 400}.get(path.removeprefix("/api/orders/{}"))
    own = await request("POST" if refused else "GET", path.format(order_id), **owner.headers)

    assert own.status == (refused or 200)


@pytest.mark.parametrize("path", SOCKET_PATHS)
async def test_the_stream_of_anothers_order_and_of_none_are_alike(path: str) -> None:
    owner = make_account()
    order_id, nothing = await order_of(owner), str(uuid4())
    for headers in await strangers():
        sent = headers | ORIGIN
        foreign, code = await heard(path.format(order_id), **sent)
        absent, _ = await heard(path.format(nothing), **sent)
        assert str(foreign).replace(order_id, "ID") == str(absent).replace(nothing, "ID")
        assert foreign[-1]["error"] == "order_not_found"
        assert code == 4404
    own, code = await heard(path.format(order_id), **owner.headers)

    assert (own[-1]["status"], code) == ("confirmed", 1000)


async def test_a_list_holds_the_accounts_own_orders_and_is_empty_for_anonymous_requests() -> None:
    one, other, staff = make_account(), make_account(), make_account(is_staff=True)
    order_id = await order_of(one)

    assert (await post("/execute", SELL_SOL)).status == 201
    lists = {}
    for name, headers in {
        **{"owner": one.headers, "owner's session": await one.log_in()},
        **{"other": other.headers, "staff": staff.headers, "nobody": {}},
    }.items():
        answer = await get("/api/orders", **headers)
        lists[name] = [order["orderId"] for order in answer.json["results"]]
    mine = [order_id]
    assert lists == {"owner": mine, "owner's session": mine, "other": [], "staff": [], "nobody": []}


async def test_an_anonymous_order_is_for_everybody_with_its_id() -> None:
    order_id = (await post("/execute", SELL_SOL)).json["orderId"]
    for headers in await strangers():
        assert (await get(f"/api/orders/{order_id}", **headers)).status == 200
        async with connected(f"/ws/orders/{order_id}", **headers) as socket:
            assert (await socket.message())["seq"] == 1
    answer = await request("POST", f"/api/orders/{order_id}/cancel", **make_account().headers)

    assert answer.json["status"] == "cancelled"


@pytest.mark.parametrize("path", GUARDED_PATHS)
async def test_a_credential_that_does_not_hold_opens_nothing(path: str) -> None:
    order_id = (await post("/execute", SELL_SOL)).json["orderId"]  # nobody's: anybody may see it
    stored = count_stored()
    for credential in bad_credentials():
        for method in ("GET", "POST"):
            answer = await post_or_get(method, path.format(order_id), credential)
            assert answer.status == 401, (method, credential, answer.text)
            assert answer.json["error"] == "not_authenticated"
            assert answer.headers["www-authenticate"].startswith("Bearer")

    assert count_stored() == stored


async def post_or_get(method: str, path: str, credential: str) -> Answer:
    headers = {"authorization": credential}
    return await (post(path, SELL_SOL, **headers) if method == "POST" else get(path, **headers))


@pytest.mark.parametrize("path", [*SOCKET_PATHS, "/execute", "/api/orders/execute", "/ws/quotes"])
async def test_a_socket_with_a_credential_that_does_not_hold_is_closed(path: str) -> None:
    order_id = (await post("/execute", SELL_SOL)).json["orderId"]
    for credential in bad_credentials():
        messages, code = await heard(path.format(order_id), authorization=credential)
        assert [one["error"] for one in messages] == ["not_authenticated"]
        assert code == 4401


@pytest.mark.parametrize("path", GUARDED_PATHS)
@override_settings(ALLOW_ANONYMOUS_ORDERS=False)
async def test_where_anonymous_orders_are_off_a_credential_is_asked_for(path: str) -> None:
    order_id, stored = str(uuid4()), count_stored()
    for headers in ({}, {"cookie": "sessionid=made-up"}):
        for method in ("GET", "POST"):
            body = b'{"tokenIn":"SOL","tokenOut":"USDC","amount":1}' if method == "POST" else b""
            answer = await request(
                method, path.format(order_id), body, content_type="application/json", **headers
            )
            assert (answer.status, answer.json["error"]) == (401, "not_authenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")

    assert count_stored() == stored


@pytest.mark.parametrize("path", [*SOCKET_PATHS, "/execute", "/api/orders/execute", "/ws/quotes"])
@override_settings(ALLOW_ANONYMOUS_ORDERS=False)
async def test_where_anonymous_orders_are_off_a_socket_is_closed(path: str) -> None:
    messages, code = await heard(path.format(uuid4()))
    assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)


@pytest.mark.parametrize(
    "path", ["/health", "/", "/api/schema", "/api/docs", "/accounts/login/", "/admin/login/"]
)
@override_settings(ALLOW_ANONYMOUS_ORDERS=False)
async def test_what_is_open_to_all_asks_for_no_credential(path: str) -> None:
    for headers in ({}, {"authorization": "Bearer x"}):
        assert (await get(path, **headers)).status == 200


async def test_a_session_opens_a_socket_of_our_own_page_and_no_other() -> None:
    owner = make_account()
    order_id, cookie = await order_of(owner), await owner.log_in()
    path = f"/ws/orders/{order_id}"

    assert (await heard(path, **cookie, **ORIGIN))[1] == 1000
    assert (await heard(path, **cookie))[1] == 4404, "who says no origin is no page"
    owner.change_password()
    assert (await heard(path, **cookie, **ORIGIN))[1] == 4401, "the session has ended"


async def test_a_page_places_orders_for_the_person_who_is_logged_in() -> None:
    owner = make_account()
    cookie = await owner.log_in()
    async with connected("/execute", **cookie, **ORIGIN) as socket:
        await socket.send(SELL_SOL)
        order_id = (await socket.message())["orderId"]

    assert (await get(f"/api/orders/{order_id}", **owner.headers)).status == 200
    assert (await get(f"/api/orders/{order_id}")).status == 404


async def test_a_session_changes_nothing_without_our_token() -> None:
    owner = make_account()
    cookie, stored = await owner.log_in(), count_stored()
    for path in ("/execute", "/api/ws-tickets"):
        answer = await post(path, SELL_SOL, **cookie)
        assert (answer.status, answer.json["error"]) == (403, "permission_denied")

    assert count_stored() == stored


async def test_a_ticket_opens_one_socket_once() -> None:
    owner = make_account()
    order_id = await order_of(owner)
    answer = await request("POST", "/api/ws-tickets", **owner.headers)

    assert answer.status == 201
    assert set(answer.json) == {"ticket", "expiresAt"}
    path = f"/ws/orders/{order_id}?ticket={answer.json['ticket']}"
    assert (await heard(path))[1] == 1000
    messages, code = await heard(path)
    assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)


async def test_a_ticket_ends_with_its_time_and_with_its_key() -> None:
    owner = make_account()
    order_id = await order_of(owner)
    tickets = [
        (await request("POST", "/api/ws-tickets", **owner.headers)).json["ticket"] for _ in range(2)
    ]
    digest = digest_of(tickets[0])
    execute(
        owner.database, "UPDATE socket_tickets SET expires_at = now() WHERE digest = %s", digest
    )
    path = f"/ws/orders/{order_id}?ticket="

    assert (await heard(path + tickets[0]))[1] == 4401
    owner.revoke()
    for ticket in (tickets[1], "x"):
        messages, code = await heard(f"/ws/orders/{order_id}?ticket={ticket}")
        assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)


async def test_tickets_are_for_accounts_and_not_without_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = make_account()

    assert (await request("POST", "/api/ws-tickets")).status == 401
    answers = [await request("POST", "/api/ws-tickets", **owner.headers) for _ in range(101)]
    assert {answer.status for answer in answers[:-1]} == {201}
    assert (answers[-1].status, answers[-1].json["error"]) == (429, "too_many_requests")
    assert answers[-1].headers["retry-after"] == "30"
    (line,) = [one for one in caplog.records if one.getMessage() == "limit_hit"]
    assert (line.__dict__["limit"], line.__dict__["account"]) == ("tickets", owner.id)


@pytest.mark.parametrize("end", ["revoke", "deactivate"])
@pytest.mark.parametrize("by", ["key", "ticket"])
async def test_a_socket_ends_with_its_key(
    end: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "CHECK_SECONDS", 0.02)
    owner, other = make_account(), make_account()
    query, headers = "", owner.headers
    if by == "ticket":
        answer = await request("POST", "/api/ws-tickets", **owner.headers)
        query, headers = f"?ticket={answer.json['ticket']}", {}
    async with (
        connected(f"/execute{query}", **headers) as socket,
        connected("/execute", **other.headers) as unconcerned,
    ):
        await socket.send(SELL_SOL)
        assert (await socket.message())["status"] == "pending"
        getattr(owner, end)()
        messages, code = await socket.rest()
        assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)
        await unconcerned.send(SELL_SOL)
        assert (await unconcerned.message())["status"] == "pending"


@pytest.mark.parametrize("end", ["log_out", "deactivate", "change_password"])
async def test_a_socket_ends_with_its_session(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "CHECK_SECONDS", 0.02)
    owner = make_account()
    async with connected("/execute", **await owner.log_in(), **ORIGIN) as socket:
        await socket.send(SELL_SOL)
        assert (await socket.message())["status"] == "pending"
        getattr(owner, end)()
        messages, code = await socket.rest()
        assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)


async def test_a_revoked_key_is_refused_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "KNOWN_SECONDS", 0.0)
    owner = make_account()
    assert (await post("/execute", SELL_SOL, **owner.headers)).status == 201
    owner.revoke()
    assert (await post("/execute", SELL_SOL, **owner.headers)).status == 401


def test_what_is_remembered_of_a_key_is_forgotten_in_time() -> None:
    assert accounts.KNOWN_SECONDS + accounts.CHECK_SECONDS < 5
