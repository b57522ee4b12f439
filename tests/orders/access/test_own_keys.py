"""An account makes, names, rotates and revokes its own keys, on a page and by API.

And what a key may do: by its scopes, its addresses and its time.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client, override_settings

from config.runtime.background import Background
from config.runtime.counters import counts
from orders.access import accounts, key_use
from orders.access.keys import COMMAND, MAX_KEYS, Wish, is_within, make_key, networks_of, prefix_of
from orders.api.schema.openapi import openapi
from orders.models import ApiKey
from tests.support.accounts import Account, execute, make_account
from tests.support.client import (
    SELL_SOL,
    Answer,
    connected,
    count_stored,
    get,
    handshake,
    post,
    request,
)
from tests.support.walker import confirm

API = "/api/account/keys"
PAGE = "/account/keys"
READ_AND_TRADE = ["read", "trade"]


def secret_of(account: Account, scopes: list[str], **wish: Any) -> str:
    """Make one more key, straight into the tests' database."""
    secret = account.another_key()
    execute(
        account.database,
        "UPDATE api_keys SET may_read = %s, may_trade = %s, addresses = %s::jsonb"
        " WHERE prefix = %s",
        *("read" in scopes, "trade" in scopes, wish.get("addresses", "[]"), prefix_of(secret)),
    )
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def browser(alice: User) -> Client:
    found = Client(enforce_csrf_checks=True)
    found.force_login(alice)
    found.get(PAGE)  # for the token
    return found


def send(browser: Client, path: str, sent: Any = None, method: str = "post") -> Any:
    token = browser.cookies["csrftoken"].value
    call = getattr(browser, method)
    return call(path, sent or {}, content_type="application/json", headers={"x-csrftoken": token})


def submit(browser: Client, **fields: Any) -> str:
    """Send the page's form, and return the page that answers."""
    token = browser.cookies["csrftoken"].value
    answer = browser.post(PAGE, {"csrfmiddlewaretoken": token, **fields})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    text: str = answer.content.decode()
    assert re.findall(r"<script(?! src=)", text) == []  # all are files of ours
    assert "style=" not in text
    return text


def shown_key(page: str) -> str:
    (found,) = re.findall(r'<pre class="new-key">([^<]+)</pre>', page)
    return str(found)


def found_key(secret: str, client: str = "127.0.0.1") -> ApiKey:
    _, principal = accounts.find_api_key(secret, client)
    return ApiKey.objects.get(pk=principal.key)


# ---- the page


def test_a_person_makes_names_rotates_and_revokes_a_key_on_the_page(browser: Client) -> None:
    fields = {"deed": "make", "name": "bot", "scopes": READ_AND_TRADE, "days": "30"}
    page = submit(browser, **fields, addresses="127.0.0.0/8, 2001:db8::1")
    secret = shown_key(page)
    key = found_key(secret)

    assert (key.name, key.may_read, key.may_trade) == ("bot", True, True)
    assert key.addresses == ["127.0.0.0/8", "2001:db8::1/128"]
    assert secret.startswith("oee_test_")
    assert secret not in str(browser.cookies)
    assert secret not in browser.get(PAGE).content.decode()
    chosen = {"prefix": key.prefix}
    assert "its new name" in submit(browser, deed="rename", name="robot", **chosen)
    new = shown_key(submit(browser, deed="rotate", **chosen))
    assert found_key(new).name == "robot"
    assert found_key(secret) == key, "both hold for a while"
    assert "is revoked" in submit(browser, deed="revoke", **chosen)
    with pytest.raises(accounts.NotAuthenticated):
        found_key(secret)
    assert found_key(new).rotated_from == key
    deeds = LogEntry.objects.order_by("id").values_list("user__username", "change_message")
    assert [who for who, _ in deeds] == ["alice"] * 4
    assert "Revoked." in deeds[3][1]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "withdraw"]}, "withdraw"),
        ({"scopes": "read", "addresses": "10.0.0.1/8"}, "neither an address nor a network"),
        ({"scopes": "read", "addresses": "<b>"}, "&lt;b&gt;"),
        ({"scopes": "read", "days": "0"}, "expiresInDays"),
        ({"scopes": "read", "days": "9" * 2000}, "expiresInDays"),
        ({"scopes": "read", "name": "x" * 101}, "name"),
        ({"scopes": "read", "name": "x\0"}, "name"),
    ],
)
def test_a_form_that_means_no_key_makes_none(
    fields: dict[str, Any], says: str, browser: Client
) -> None:
    page = submit(browser, deed="make", **fields)
    assert says in page
    assert 'class="notice bad"' in page
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("deed", ["rename", "rotate", "revoke", "eat", ""])
@pytest.mark.parametrize("prefix", ["bobs", "oee_nothing", "\0", ""])
def test_anothers_key_is_answered_as_none(deed: str, prefix: str, browser: Client) -> None:
    bob = User.objects.create_user("bob")
    key, _ = make_key(bob.pk, Wish("his"), COMMAND)
    page = submit(browser, deed=deed, prefix=key.prefix if prefix == "bobs" else prefix, name="x")

    assert 'class="notice bad"' in page
    assert "his" not in re.sub("this", "", page)
    key.refresh_from_db()
    assert (key.name, key.revoked_at, ApiKey.objects.count()) == ("his", None, 1)


def test_the_page_is_for_who_is_logged_in_and_sends_our_token(alice: User) -> None:
    stranger = Client(enforce_csrf_checks=True)
    assert stranger.get(PAGE).headers["location"].startswith("/accounts/login/?next=")
    stranger.force_login(alice)
    assert stranger.post(PAGE, {"deed": "make", "scopes": "read"}).status_code == 403
    assert not ApiKey.objects.exists()


# ---- the API


def test_a_person_does_the_same_by_the_api(browser: Client) -> None:
    answer = send(browser, API, {"name": "bot", "scopes": ["trade"], "expiresInDays": 7})
    made = answer.json()

    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (made["scopes"], made["standing"], made["lastUsedAt"]) == (["trade"], "holds", None)
    path = f"{API}/{made['prefix']}"
    assert made["key"] not in str(browser.get(API).content) + str(browser.get(path).content)
    assert send(browser, path, {"name": "robot"}, "patch").json()["name"] == "robot"
    new = send(browser, f"{path}/rotate", {"overlapHours": 0}).json()
    assert (new["rotatedFrom"], new["scopes"]) == (made["prefix"], ["trade"])
    with pytest.raises(accounts.NotAuthenticated):
        found_key(made["key"])
    again = send(browser, f"{path}/rotate")
    assert (again.status_code, again.json()["error"]) == (409, "key_not_rotatable")
    assert again.json()["detail"].endswith("no longer holds: make a new one.")
    ended = send(browser, f"{API}/{new['prefix']}/revoke").json()
    assert ended["standing"] == "revoked"
    assert send(browser, f"{API}/{new['prefix']}/revoke").json() == ended
    listed = browser.get(API).json()["keys"]
    assert [key["prefix"] for key in listed] == [new["prefix"], made["prefix"]]


@pytest.mark.parametrize(
    ("sent", "field", "code"),
    [
        ({}, "scopes", "required"),
        ({"scopes": "read"}, "scopes", "not_a_list"),
        ({"scopes": ["read"], "owner": 1}, "owner", "unknown_field"),
        ({"scopes": ["read"], "addresses": ["300.1.1.1"]}, "addresses", "invalid_address"),
        ({"scopes": ["read"], "expiresInDays": 1.5}, "expiresInDays", "invalid"),
        ([], "non_field_errors", "invalid"),
    ],
)
def test_what_cannot_be_a_key_is_refused_by_its_field(
    sent: Any, field: str, code: str, browser: Client
) -> None:
    answer = browser.post(
        API,
        sent,
        content_type="application/json",
        headers={"x-csrftoken": browser.cookies["csrftoken"].value},
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [(field, code)]
    assert not ApiKey.objects.exists()


def test_a_key_rotates_and_revokes_itself_and_no_more(alice: User) -> None:
    key, secret = make_key(alice.pk, Wish("mine"), COMMAND)
    other, _ = make_key(alice.pk, Wish("other"), COMMAND)
    program, json = Client(headers={"authorization": f"Bearer {secret}"}), "application/json"

    assert len(program.get(API).json()["keys"]) == 2
    for method, path in [
        ("post", API),
        ("patch", f"{API}/{key.prefix}"),
        ("post", f"{API}/{other.prefix}/rotate"),
        ("post", f"{API}/{other.prefix}/revoke"),
    ]:
        answer = getattr(program, method)(path, {"scopes": ["read"]}, content_type=json)
        assert (answer.status_code, answer.json()["error"]) == (403, "session_required"), path
    assert ApiKey.objects.count() == 2
    new = program.post(f"{API}/{key.prefix}/rotate", content_type=json)
    assert new.status_code == 201, new.content
    assert found_key(new.json()["key"]).name == "mine"
    assert program.post(f"{API}/{key.prefix}/revoke").json()["standing"] == "revoked"
    assert program.get(API).status_code == 401
    assert found_key(new.json()["key"]).rotated_from_id == key.pk


def test_an_account_has_not_keys_without_end(browser: Client, alice: User) -> None:
    ApiKey.objects.bulk_create(
        ApiKey(owner=alice, prefix=f"oee_{n}", digest=f"{n}") for n in range(MAX_KEYS)
    )
    answer = send(browser, API, {"scopes": ["read"]})

    assert (answer.status_code, answer.json()["error"]) == (409, "too_many_keys")
    assert answer.json()["detail"].endswith("keys that hold: revoke one first.")
    assert "revoke one first" in submit(browser, deed="make", scopes="read")
    assert send(browser, f"{API}/oee_0/revoke").status_code == 200
    assert send(browser, API, {"scopes": ["read"]}).status_code == 201


# ---- what a key may do


@pytest.mark.parametrize("scopes", [["read"], ["trade"], READ_AND_TRADE])
@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_every_operation_asks_for_its_scope(scopes: list[str]) -> None:
    """The table of docs/accounts.md, held against every operation of the schema."""
    owner = make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    headers, found = bearer(secret_of(owner, scopes)), {}
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            place = path.format(order_id=order_id, prefix=prefix_of(owner.key))
            body = b"{}" if method in ("post", "patch") else b""
            sent = headers | {"content_type": "application/json"}
            asked = "HEAD" if place == STREAM else method.upper()  # a stream has no end
            answer = await request(asked, place, body, **sent)
            found[operation["operationId"]] = is_refused(answer)
    for name, is_out in found.items():
        needed = NEEDED.get(re.sub("At.*", "", name))
        assert is_out == (needed is not None and needed not in scopes), name

    assert NEEDED.keys() < found.keys()


STREAM = "/api/orders/stream"
NEEDED = {
    **dict.fromkeys(("listOrders", "getOrder", "getOrderEvents", "getOrderRoute"), "read"),
    **dict.fromkeys(("listKeys", "getKey", "exportOrders", "getExecutionQuality"), "read"),
    **dict.fromkeys(("previewOrder", "getQuote", "streamEvents", "listEvents"), "read"),
    **dict.fromkeys(("placeOrder", "sendOrders", "cancelOrder", "deleteOrder"), "trade"),
    **dict.fromkeys(("amendOrder", "replaceOrder", "cancelOrders", "cancelAllOrders"), "trade"),
}
"""What a key has to be for; all else needs no scope: a ticket has its key's."""


def is_refused(answer: Answer) -> bool:
    is_out = answer.status == 403 and answer.json["error"] == "insufficient_scope"
    assert is_out == ("insufficient_scope" in answer.headers.get("www-authenticate", ""))
    return is_out


@pytest.mark.parametrize("by", ["key", "ticket"])
@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_socket_may_what_its_key_or_its_tickets_key_may(by: str) -> None:
    owner = make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    await confirm(order_id)
    for scopes in (["read"], ["trade"]):
        secret = secret_of(owner, scopes)
        for path, needed in [
            (f"/ws/orders/{order_id}", "read"),
            (f"/execute?orderId={order_id}", "read"),
            (f"/ws?orderId={order_id}", "read"),
            ("/execute", "trade"),
        ]:
            headers = bearer(secret)
            if by == "ticket":
                ticket = await request("POST", "/api/ws-tickets", **headers)
                path += f"{'&' if '?' in path else '?'}ticket={ticket.json['ticket']}"
                headers = {}
            async with connected(path, **headers) as socket:
                if needed not in scopes:
                    (told,), code = await socket.rest()
                    assert (told["error"], code) == ("insufficient_scope", 4403)
                elif needed == "trade":
                    await socket.send(SELL_SOL)
                    assert (await socket.message())["status"] == "pending"
                else:
                    assert (await socket.rest())[1] == 1000


@pytest.mark.parametrize("by", ["key", "ticket"])
@pytest.mark.parametrize(
    "frame", [SELL_SOL, {"action": "execute", "order": SELL_SOL}, {"action": "execute"}]
)
@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_key_for_reading_sends_nothing_on_a_socket_that_follows_an_order(
    by: str, frame: dict[str, Any]
) -> None:
    owner = make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    before, headers = count_stored(), bearer(secret_of(owner, ["read"]))
    path = f"/api/orders/execute?orderId={order_id}"
    if by == "ticket":
        ticket = (await request("POST", "/api/ws-tickets", **headers)).json["ticket"]
        path, headers = f"{path}&ticket={ticket}", {}
    async with connected(path, **headers) as socket:
        assert [one["status"] for one in await socket.messages(2)] == ["connected", "pending"]
        await socket.send(frame)
        (told,), code = await socket.rest()

    assert (told["error"], code) == ("insufficient_scope", 4403)
    assert count_stored() == before


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_program_is_told_of_its_keys_scope_before_the_socket_opens() -> None:
    """One for `trade` alone opens what one for `read` alone does not, and the other way round."""
    owner = make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    paths = {"trade": ["/execute", "/api/orders/execute/"], "read": [f"/ws/orders/{order_id}"]}
    paths["read"] += [f"/execute?orderId={order_id}", f"/ws?orderId={order_id}"]
    for scope in ("read", "trade"):
        headers = bearer(secret_of(owner, [scope]))
        for needed, path in ((word, path) for word in paths for path in paths[word]):
            answer = await handshake(path, **headers)
            assert answer.status == (101 if needed == scope else 403), (scope, path)
            if needed != scope:
                assert answer.json["error"] == "insufficient_scope"
                challenge = answer.headers["www-authenticate"]
                assert f'error="insufficient_scope", scope="{needed}"' in challenge


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_key_for_reading_makes_no_key_that_trades() -> None:
    """Not by rotation, which asks for nothing more; nor by that of its sibling that trades."""
    owner = make_account()
    secret = secret_of(owner, ["read"])
    rotate, headers = f"{API}/{{}}/rotate", bearer(secret)
    for wish in ({"scopes": READ_AND_TRADE}, {"overlapHours": 1, "scopes": ["trade"]}):
        answer = await post(rotate.format(prefix_of(secret)), wish, **headers)
        assert answer.status == 400, answer.text

    assert (await post(API, {"scopes": ["trade"]}, **headers)).status == 403
    assert (await post(rotate.format(prefix_of(owner.key)), {}, **headers)).status == 403
    answer = await post(rotate.format(prefix_of(secret)), {}, **headers)
    assert (answer.status, answer.json["scopes"]) == (201, ["read"])
    refused = await post("/execute", SELL_SOL, **bearer(answer.json["key"]))
    assert refused.json["error"] == "insufficient_scope"


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_key_of_another_address_is_answered_as_none() -> None:
    owner = make_account()
    near, far = (
        secret_of(owner, READ_AND_TRADE, addresses=f'["{one}"]')
        for one in ("127.0.0.0/8", "203.0.113.7/32")
    )
    unknown = await get("/api/orders", **bearer("oee_test_" + "A" * 43))
    for send_one in (
        lambda secret: get("/api/orders", **bearer(secret)),
        lambda secret: post("/execute", SELL_SOL, **bearer(secret)),
        lambda secret: request("POST", "/api/ws-tickets", **bearer(secret)),
    ):
        assert (await send_one(near)).status in (200, 201)
        refused = await send_one(far)
        assert (refused.status, refused.json) == (401, unknown.json)
    async with connected("/execute", **bearer(far)) as socket:
        assert (await socket.rest())[1] == 4401


@pytest.mark.parametrize(
    ("client", "texts", "is_in"),
    [
        ("203.0.113.7", ["203.0.113.0/24"], True),
        ("203.0.114.7", ["203.0.113.0/24", "203.0.114.8"], False),
        ("::ffff:203.0.113.7", ["203.0.113.7"], True),
        ("203.0.113.7", ["::ffff:203.0.113.0/120"], True),
        ("2001:db8::5", ["2001:db8::/64"], True),
        ("2001:db8:0:1::5", ["2001:db8::/64"], False),
        ("203.0.113.7", ["::/0"], False),
        ("", ["0.0.0.0/0"], False),
        ("/run/socket", ["0.0.0.0/0"], False),
        ("203.0.113.7", ["junk"], False),
        ("203.0.113.7", {"a": 1}, False),
        ("203.0.113.7", None, False),
    ],
)
def test_an_address_is_within_its_networks_alone(client: str, texts: Any, is_in: bool) -> None:
    networks = networks_of(texts)
    assert networks is not None
    assert is_within(client, networks) is is_in


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("oee_test_" + "a" * 43, "oee_test_aaaaaaaa"),
        ("oee_" + "a" * 43, "oee_aaaaaaaa"),
        ("oee_test_" + "a" * 38, "oee_test_aaa"),  # an old one that happens to look so
        ("oee_live_" + "a" * 43, None),
        ("my password", None),
        ("", None),
    ],
)
def test_of_what_is_no_key_of_ours_nothing_is_shown(secret: str, shown: str | None) -> None:
    assert prefix_of(secret) == shown


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_key_of_before_may_all_and_one_of_the_other_kind_nothing() -> None:
    owner = make_account()

    assert owner.key.startswith("oee_")
    assert (await post("/execute", SELL_SOL, **owner.headers)).status == 201
    assert (await get("/api/orders", **owner.headers)).status == 200
    live = "oee_live_" + "b" * 43
    execute(
        owner.database,
        "INSERT INTO api_keys (owner_id, name, prefix, digest)"
        " VALUES (%s, '', 'oee_live_x', encode(sha256(%s), 'hex'))",
        *(owner.id, live.encode()),
    )
    assert (await get("/api/orders", **bearer(live))).status == 401
    assert (await post("/execute", SELL_SOL, **bearer(live))).status == 401


# ---- its time, and its use


@pytest.mark.parametrize(("is_reachable", "days"), [(True, 90), (False, None)])
def test_a_key_ends_by_itself_where_others_can_reach_the_engine(
    is_reachable: bool, days: int | None, alice: User
) -> None:
    with override_settings(IS_REACHABLE=is_reachable):
        key, _ = make_key(alice.pk, Wish(), COMMAND)
    assert (
        key.expires_at and round((key.expires_at - key.created_at).total_seconds() / 86400)
    ) == days


@pytest.mark.parametrize(
    ("seconds", "is_told"), [(13 * 86400, True), (15 * 86400, False), (None, False)]
)
@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_who_uses_a_key_that_ends_soon_is_told_in_each_answer(
    seconds: float | None, is_told: bool
) -> None:
    owner = make_account()
    headers = bearer(owner.another_key(seconds=seconds))
    answers = [await post("/execute", SELL_SOL, **headers), await get("/api/orders", **headers)]
    answers.append(await get("/api/orders/1", **headers))

    assert {answer.headers.get("api-key-expires") is not None for answer in answers} == {is_told}
    assert (await get("/api/orders")).headers.get("api-key-expires") is None


Written = Callable[[], Awaitable[None]]


@pytest.fixture
def uses_written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """Wait until what was noted is written; it is written at once."""
    made: list[Background] = []

    def background(work: Any) -> Background:
        made.append(Background(work))
        return made[-1]

    async def ended() -> None:
        for one in made:
            await one.wait_until_done()

    monkeypatch.setattr(key_use, "GATHER_SECONDS", 0.0)
    monkeypatch.setattr(key_use, "Background", background)
    return ended


def facts(account: Account) -> Any:
    (row,) = execute(
        account.database,
        "SELECT last_used_at, last_used_from, seen_from FROM api_keys WHERE owner_id = %s",
        account.id,
    )
    return row


@pytest.mark.parametrize("way", ["order", "read"])
@pytest.mark.parametrize("remembers", [True, False], ids=["one process", "others"])
@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_keys_use_is_written_once_a_minute_and_its_new_addresses_at_once(
    way: str, remembers: bool, uses_written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "AGAIN_SECONDS", 60.0 if remembers else 0.0)
    owner, before = make_account(), counts.copy()

    async def use(address: str) -> Any:
        if way == "order":
            await accounts.accounts_of_this_loop().holder_of(owner.key, address)
            await uses_written()
        else:
            assert (await get("/api/orders", **owner.headers)).status == 200
        return facts(owner)

    first = await use("127.0.0.1")
    assert first[1:] == ("127.0.0.1", ["127.0.0.1"])
    assert await use("127.0.0.1") == first
    if way == "order":
        second = await use("2001:db8::7")
        assert second[1:] == ("2001:db8::", ["2001:db8::", "127.0.0.1"])
        assert (await use("2001:db8::8"))[2] == second[2], "the same holder's"
        execute(owner.database, "UPDATE api_keys SET last_used_at = now() - interval '61 s'")
        assert (await use("::ffff:127.0.0.1"))[1:] == ("127.0.0.1", second[2])
    told = counts - before
    assert told["security_events:key_used_from_new_address"] == (2 if way == "order" else 1)


@pytest.mark.usefixtures("engine_loop")
async def test_what_a_key_was_used_from_is_bounded(uses_written: Written) -> None:
    owner = make_account()
    for number in range(key_use.MAX_SEEN + 5):
        await accounts.accounts_of_this_loop().holder_of(owner.key, f"10.0.0.{number}")
        await uses_written()
    seen = facts(owner)[2]

    assert (len(seen), seen[0]) == (key_use.MAX_SEEN, f"10.0.0.{key_use.MAX_SEEN + 4}")


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_use_that_cannot_be_written_refuses_no_request(
    uses_written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "USED", "SELECT 1 / 0, %s::bigint[], %s::text[]")
    owner = make_account()
    assert (await get("/api/orders", **owner.headers)).status == 200
    assert (await post("/execute", SELL_SOL, **owner.headers)).status == 201
    await uses_written()


@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_the_log_warns_once_a_day_of_a_key_that_ends_soon(
    uses_written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "AGAIN_SECONDS", 0.0)
    owner, before = make_account(), counts.copy()
    secret = owner.another_key(seconds=86400)
    for _ in range(3):
        execute(owner.database, "UPDATE api_keys SET last_used_at = NULL")
        await accounts.accounts_of_this_loop().holder_of(secret, "127.0.0.1")
        await uses_written()

    assert (counts - before)["security_events:key_expires_soon"] == 1


# ---- what is told of it


@pytest.mark.parametrize("credential", ["Bearer oee_test_" + "A" * 43, "Basic abc", "Bearer junk"])
@pytest.mark.usefixtures("engine_loop", "redis_client")
async def test_a_refused_key_is_told_on_every_door_and_never_written(
    credential: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = counts.copy()
    await get("/api/orders", authorization=credential)
    await post("/execute", SELL_SOL, authorization=credential)
    async with connected("/execute", authorization=credential) as socket:
        await socket.rest()
    lines = [one for one in caplog.records if one.message == "key_refused"]

    assert (counts - before)["security_events:key_refused"] == len(lines) == 3
    prefix = "oee_test_AAAAAAAA" if credential.endswith("A" * 43) else None
    for line in lines:
        assert getattr(line, "key_prefix", None) == prefix
        assert credential.partition(" ")[2] not in str(line.__dict__)


def test_no_page_log_or_row_holds_a_key(
    browser: Client, admin_client: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    """The walk over secrets: what was made on the page, by API, by rotation and in the admin."""
    secrets = [shown_key(submit(browser, deed="make", scopes=READ_AND_TRADE))]
    secrets.append(send(browser, API, {"scopes": ["read"]}).json()["key"])
    path = f"{API}/{prefix_of(secrets[0])}/rotate"
    secrets.append(send(browser, path).json()["key"])
    form = {"owner": alice.pk, "may_read": "on", "expires_at_0": "", "expires_at_1": ""}
    page = admin_client.post("/admin/orders/apikey/add/", form).content.decode()
    secrets.append(page.partition("<code>")[2].partition("</code>")[0])
    for secret in secrets:
        found_key(secret)
    told = [str(list(ApiKey.objects.values())), str(list(LogEntry.objects.values()))]
    told += [
        client.get(place).content.decode()
        for client in (browser, admin_client)
        for place in (PAGE, API, "/admin/orders/apikey/", "/metrics")
    ]
    told += [str(browser.cookies), str(admin_client.cookies)]
    told += [str(one.__dict__) for one in caplog.records]
    for secret in secrets:
        assert not any(secret in text or secret[12:] in text for text in told)
