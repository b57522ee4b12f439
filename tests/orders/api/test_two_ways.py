"""An order is answered the same without the framework as by it, to the byte, and leaves the same.

`orders/api/entry.py` answers most orders itself. Here, every kind of request is sent to an engine
that does so, and to one that leaves all of them to the view; then both are compared: answers, what
is stored, counted and logged. Each way has an account of its own, so that both find the same state.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from django.test import override_settings

from config.asgi import pages, paths, probes, surrounded
from config.http import security_log
from config.http.order_entry import Answer, EntryHandler
from config.runtime.counters import counts
from config.runtime.rate import Rate
from orders.access import accounts
from orders.access.accounts import Accounts
from orders.access.admission import Backlog, Overloaded, ShareIsFull
from orders.api.entry import answer_plainly
from orders.engine import submission
from orders.engine.moves import TradingHalted
from orders.engine.quotes import Quotes
from orders.engine.submission import OutcomeUnknown
from tests import dialects
from tests.orders.api.test_api import LOOK_ALIKES, NO_ORDERS, QUERIES
from tests.orders.api.test_door import FOREIGN_HOSTS, HOSTS
from tests.support.accounts import execute, make_account
from tests.support.client import SELL_SOL, database_away, exchange
from tests.support.order_types import BY_TYPE, OCO, SELLING_BRACKET, STOP, no_prices

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

PATH = "/api/orders/execute"
MINE = "Bearer MINE"  # the way's own account
JSON = {"content_type": "application/json"}
COUNTS = (
    "http_requests",
    "orders_accepted",
    "security_events:key_refused",
    "security_events:limit",
)
LATER = ("key_used_from_new_address", "key_expires_soon")  # are told by a task of their own
LOGGERS = ("engine.security", "orders.api", "orders.engine.submission", "django")


class Asked(NamedTuple):
    """A request; `authorization="Bearer MINE"` stands for the key of the way's account."""

    body: Any = SELL_SOL
    headers: dict[str, str] = {}
    path: str = PATH
    method: str = "POST"
    lines: tuple[tuple[bytes, bytes], ...] = ()


class Way:
    """An engine that answers orders itself, or leaves them to the view."""

    def __init__(self, is_short: bool, address: str, database: psycopg.Connection) -> None:
        self.account = make_account()
        self._database = database
        self.address = address
        self.answered = 0  # by itself
        self._application = surrounded(
            EntryHandler(pages, paths, probes, self._answer if is_short else None)
        )

    async def _answer(self, scope: Any, body: bytes) -> Answer | None:
        self.answered += 1  # also where a bug rises
        found = await answer_plainly(scope, body)
        self.answered -= found is None
        return found

    async def ask(self, asked: Asked) -> Any:
        """Return all of the answer, and what it left, but for what differs each time."""
        security_log._written.clear()
        counted, stored = Counter(counts), self._count_stored()
        headers = {name: self._mine(value) for name, value in asked.headers.items()}
        lines = [(name, self._mine(value.decode()).encode()) for name, value in asked.lines]
        lines.append((b"x-forwarded-for", self.address.encode()))
        with watched() as log:
            answer = await exchange(
                *(self._application, asked.method, asked.path, as_bytes(asked.body), lines),
                **headers,
            )
        return (
            answer.status,
            [masked_header(name.lower(), value) for name, value in answer.headers],
            masked(answer.body),
            self._count_stored() - stored,
            {name: n for name, n in (Counter(counts) - counted).items() if name.startswith(COUNTS)},
            [self._told(record) for record in log if record.msg not in LATER],
        )

    def _count_stored(self) -> int:
        ((number,),) = self._database.execute("SELECT count(*) FROM order_events").fetchall()
        return int(number)

    def _mine(self, value: str) -> str:
        return value.replace("MINE", self.account.key)

    def _told(self, record: logging.LogRecord) -> Any:
        own = {self.account.id: "mine", self.address: "here", self.account.key[:12]: "my key"}
        facts = {
            name: own.get(value, value)
            for name in ("address", "account", "key_prefix", "reason", "limit")
            if (value := getattr(record, name, None)) is not None
        }
        message = masked(record.getMessage().encode())
        kind = record.exc_info[0] if record.exc_info else None
        return record.name, record.levelname, message, facts, kind


@contextmanager
def watched() -> Iterator[list[logging.LogRecord]]:
    """Yield what is logged meanwhile by whoever may tell of a request."""
    found: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.startswith(LOGGERS):
                found.append(record)

    kept = Kept()
    logging.getLogger().addHandler(kept)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(kept)


VARIABLE = (
    (re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), b"AN-ORDER"),
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), b"A-TIME"),
    (re.compile(rb"\b[0-9a-f]{32}\b"), b"A-REQUEST"),
    (re.compile(rb'(?<="retryAfter":)\d{4}'), b"MANY"),
)


def masked(text: bytes) -> bytes:
    for variable, name in VARIABLE:
        text = variable.sub(name, text)
    return text


def masked_header(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    is_clock = name in (b"retry-after", b"ratelimit-reset") and len(value) == 4
    return name, b"MANY" if is_clock else masked(value)


def as_bytes(body: Any) -> Any:
    is_sent_as_it_is = isinstance(body, bytes) or (
        isinstance(body, list) and body and isinstance(body[0], bytes)
    )
    return body if is_sent_as_it_is else json.dumps(body).encode()


class BothWays:
    """The two, and what compares them."""

    def __init__(self, database: psycopg.Connection) -> None:
        self.short = Way(True, "192.0.2.1", database)
        self.long = Way(False, "192.0.2.2", database)

    async def give_the_same(self, *asked: Asked) -> list[Any]:
        """Send the requests, one after the other, and return the answers, which are the same."""
        found = []
        for one in asked:
            answers = [await way.ask(one) for way in (self.short, self.long)]
            assert answers[0] == answers[1], one
            found.append(answers[0])
        return found

    async def give_the_same_shortly(self, *asked: Asked) -> list[Any]:
        """As `give_the_same`, of requests that none is left to the framework of."""
        before = self.short.answered
        found = await self.give_the_same(*asked)
        assert self.short.answered - before == len(asked), "some were left to the framework"
        return found

    async def leave(self, *asked: Asked) -> list[Any]:
        """As `give_the_same`, of requests that all are left to the framework."""
        before = self.short.answered
        found = await self.give_the_same(*asked)
        assert self.short.answered == before, "some were not left to the framework"
        return found


@pytest.fixture
def both_ways(database_conninfo: str) -> Iterator[BothWays]:
    with (
        override_settings(TRUSTED_PROXIES=1),
        psycopg.connect(database_conninfo, autocommit=True) as database,
    ):
        found = BothWays(database)
        yield found
    assert found.long.answered == 0


def statuses(found: list[Any]) -> set[int]:
    return {answer[0] for answer in found}


def order(body: Any = SELL_SOL, **headers: str) -> Asked:
    return Asked(body, JSON | headers)


def own(body: Any = SELL_SOL, **headers: str) -> Asked:
    return order(body, authorization=MINE, **headers)


class Recorder(dialects.Site):
    """An engine that answers anything, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.posted: dict[tuple[str, str], Asked] = {}

    async def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            self.posted[path, text] = Asked(text.encode(), JSON | headers, path)
        answer = {"orderId": "an-order", "wsUrl": "/", "message": "", "status": "pending"}
        return 201, answer

    async def told(self, *_: Any, **__: Any) -> list[Any]:
        raise AssertionError("sockets are no POST")


async def replayed() -> list[Asked]:
    """Return what clients of other systems post, each request once."""
    recorder = Recorder()
    for tries in dialects.ELEMENTS.values():
        for one in tries:
            with suppress(AssertionError, LookupError, OSError):
                await one(recorder)
    return list(recorder.posted.values())


async def test_what_other_systems_send(both_ways: BothWays) -> None:
    sent = await replayed()
    found = await both_ways.give_the_same_shortly(*sent)
    assert len(sent) > 60
    assert statuses(found) == {201, 400}  # one reads how an order without an amount is refused


MEANT = [
    *(SELL_SOL | {name: "x"} for name in ("limitPrice", "slippageTolerance", "idempotencyKey")),
    *(SELL_SOL | {"slippage": text} for text in ("0.01", "0.5", "-1", 0.7 / 100, "x", True)),
    *(SELL_SOL | {"slippageBps": number} for number in (0, 50, 5001, "1.5", [], {})),
    *(SELL_SOL | {"venues": one} for one in ("raydium", ["meteora"], [], "x", 1)),
    *({"amountIn": amount} for amount in ("-5", "1e3", "1.0000000001", "9" * 30, 0)),
    SELL_SOL | {"venues": "raydium", "excludeVenues": ["raydium"]},
    SELL_SOL | {"maxPriceImpactBps": 10, "userId": "u", "wallet": "w"},
    SELL_SOL | {"amountOut": "1"},
    SELL_SOL | {"inputToken": "SOL"},
    {"inputToken": "XYZ", "outputToken": "USDC", "amount": 1, "userId": "u"},
    {"tokenIn": "SOL", "tokenOut": "WSOL", "amountIn": "1"},
    {"type": "limit", "side": "buy", "amount": 1},
    {"side": "buy", "amount": 1},
    {"side": "hold", "amount": None},
]


async def test_what_is_an_order_and_what_is_none(both_ways: BothWays) -> None:
    bodies = [*MEANT, *(SELL_SOL | field for field in LOOK_ALIKES)]
    found = await both_ways.give_the_same_shortly(*map(order, bodies))
    assert statuses(found) == {201, 400}


OF_EVERY_TYPE: list[dict[str, Any]] = [
    *BY_TYPE.values(),
    *(BY_TYPE[name] | {"tags": {"desk": "a"}, "userId": "u"} for name in BY_TYPE),
    *(BY_TYPE[name] | {"ifCrossed": "execute"} for name in BY_TYPE),
    *(BY_TYPE[name] | {"timeInForce": "fok"} for name in BY_TYPE),
    *(BY_TYPE[name] | {"expiresInSeconds": 60} for name in BY_TYPE),
    *(BY_TYPE[name] | SELLING_BRACKET for name in BY_TYPE),
    STOP | {"triggerPrice": "101"},
    BY_TYPE["market"] | {"takeProfit": {"limitPrice": "1"}, "stopLoss": {"trailBps": 101}},
]


@override_settings(ACCOUNT_RATE_LIMIT=None, RESTING_RATE_LIMIT=None)
async def test_orders_of_every_type(both_ways: BothWays, prices: None) -> None:
    found = await both_ways.give_the_same_shortly(*map(own, OF_EVERY_TYPE))
    assert statuses(found) == {201, 400}


@override_settings(ACCOUNT_RATE_LIMIT=None, RESTING_RATE_LIMIT=None)
async def test_orders_of_every_type_without_prices(
    both_ways: BothWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quotes, "_tick", no_prices)
    found = await both_ways.give_the_same_shortly(*map(own, OF_EVERY_TYPE))
    assert statuses(found) == {201, 400, 503}


async def test_bodies_that_cannot_be_read(both_ways: BothWays) -> None:
    sent = [Asked(body, JSON | headers) for body, headers, _, _ in NO_ORDERS]
    found = await both_ways.give_the_same(*sent)
    assert [answer[0] for answer in found] == [status for _, _, status, _ in NO_ORDERS]
    assert both_ways.short.answered > 20


async def test_bodies_in_pieces_and_their_codings(both_ways: BothWays) -> None:
    text = json.dumps(SELL_SOL).encode()
    pieces = [text[:10], text[10:], b""]
    found = await both_ways.give_the_same_shortly(
        order(pieces),
        order(content_encoding="identity"),
        order(content_encoding=""),
        Asked(pieces, JSON | {"transfer_encoding": "chunked"}),
        Asked(b"", JSON | {"content_length": "0"}),
        *(order(content_type=f"application/json{end}") for end in ("; charset=utf-8", "")),
    )
    assert statuses(found) == {201, 400}
    found = await both_ways.leave(
        order(content_encoding="gzip"),
        *(order(content_type=f"application/json;charset={name}") for name in ("utf-16", '"UTF8"')),
        *(order(content_type=text) for text in ("application/json;x", "text/json", "", "*/*")),
        Asked(SELL_SOL, {}),
        Asked(SELL_SOL, JSON, lines=((b"content-type", b"text/plain"),)),
    )
    assert statuses(found) == {201, 415}


ACCEPTS = [
    *(
        "application/json, text/html;q=0.1",
        "application/xml",
        "application/problem+json",
        "*/*;q=0",
        "junk",
        "image/*",
    ),
    *("application/json, text/plain, */*", "application/json;indent=2", "application/JSON"),
]


async def test_what_may_be_answered(both_ways: BothWays) -> None:
    plain = [order(accept=accept) for accept in ("", "*/*", "application/json")]
    found = await both_ways.give_the_same_shortly(*plain, order({}, accept="*/*"))
    found += await both_ways.leave(
        *(order(body, accept=accept) for accept in ACCEPTS for body in (SELL_SOL, {})),
        Asked(SELL_SOL, JSON, lines=((b"accept", b"*/*"), (b"accept", b"application/json"))),
    )
    assert statuses(found) == {201, 400, 406}


async def test_queries_paths_and_methods(both_ways: BothWays) -> None:
    everywhere = sorted(paths)
    await both_ways.give_the_same_shortly(*(Asked(SELL_SOL, JSON, path) for path in everywhere))
    await both_ways.leave(
        *(Asked(SELL_SOL, JSON, f"{path}?{query}") for path in (PATH, "/x") for query in QUERIES),
        *(Asked(SELL_SOL, JSON, f"{PATH}?format={kind}") for kind in ("json", "xml")),
        *(Asked(SELL_SOL, JSON, path) for path in ("/api/orders//", "/api/orders/x", "/Orders")),
    )
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "post"):
        await both_ways.leave(*(Asked(b"", {}, path, method) for path in everywhere))


async def test_cookies(both_ways: BothWays) -> None:
    session = await both_ways.short.account.log_in()
    for cookie in ("theme=dark", "sessionid=x", "", session["cookie"]):
        found = await both_ways.leave(order(cookie=cookie, authorization=MINE))
        assert statuses(found) == {201}


@override_settings(ALLOWED_HOSTS=HOSTS)
async def test_hosts(both_ways: BothWays) -> None:
    plain = ("testserver", "TESTSERVER:80", "127.0.0.1:8000", "localhost.")
    await both_ways.give_the_same_shortly(*(order(host=host) for host in plain))
    await both_ways.leave(
        *(order(host=host) for host in (*FOREIGN_HOSTS, "[::1]:8000", "testserver:x")),
        Asked(SELL_SOL, JSON, lines=((b"host", b"testserver"),)),
    )
    found = await both_ways.give_the_same_shortly(
        order(x_forwarded_host="evil.test"), order(forwarded="host=evil.test")
    )
    assert statuses(found) == {201}


@override_settings(ALLOWED_ORIGINS=["https://app.example"])
async def test_origins(both_ways: BothWays) -> None:
    origins = ("https://app.example", "https://evil.example", "http://testserver", "null", "")
    for body in (SELL_SOL, {}):
        sent = [order(body, origin=one, sec_fetch_site="cross-site") for one in origins]
        await both_ways.give_the_same_shortly(*sent)
    asks = {"origin": origins[0], "access_control_request_method": "POST"}
    await both_ways.leave(Asked(b"", asks, PATH, "OPTIONS"))


@pytest.mark.parametrize("told", [None, ("HTTP_X_FORWARDED_PROTO", "https")])
async def test_clear_text(both_ways: BothWays, told: Any) -> None:
    with override_settings(SECURE_SSL_REDIRECT=True, SECURE_PROXY_SSL_HEADER=told):
        for body in (SELL_SOL, b"{"):
            sent = [order(body, x_forwarded_proto=scheme) for scheme in ("http", "https", "x", "")]
            found = await both_ways.give_the_same_shortly(order(body), *sent)
            assert statuses(found) == {403, 201 if body is SELL_SOL else 400}
        await both_ways.give_the_same(own(), own(x_forwarded_proto="https"))


async def test_keys(both_ways: BothWays) -> None:
    ways = (both_ways.short, both_ways.long)
    unlike = make_account()
    unlike.revoke()
    gone = make_account().another_key(seconds=-1)
    wrong = ("Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "x", "", f"Bearer {gone}")
    for anonymous in (True, False):
        with override_settings(ALLOW_ANONYMOUS_ORDERS=anonymous):
            for body in (SELL_SOL, {}, b"{"):
                await both_ways.give_the_same_shortly(
                    *(order(body), own(body), order(body, authorization=f"  {MINE} ")),
                    *(order(body, authorization=f"bearer  {MINE[7:]}"),),
                    *(order(body, authorization=one) for one in wrong),
                    order(body, authorization=f"Bearer {unlike.key}"),
                )
    twice = ((b"authorization", MINE.encode()), (b"authorization", MINE.encode()))
    await both_ways.leave(Asked(SELL_SOL, JSON, lines=twice))
    for change in (
        "expires_at = now() + interval '1 day'",
        "may_trade = false",
        """addresses = '["203.0.113.7"]'""",
        "revoked_at = now()",
    ):
        for way in ways:
            statement = f"UPDATE api_keys SET {change} WHERE owner_id = %s"
            execute(way.account.database, statement, way.account.id)
        accounts.accounts_of_this_loop()._known.clear()
        await both_ways.give_the_same_shortly(own(), own({}), own(idempotency_key=" "))


async def test_orders_sent_again(both_ways: BothWays) -> None:
    named, dearer = SELL_SOL | {"clientOrderId": "c"}, SELL_SOL | {"amountIn": "2"}
    foreign = {"input_token": "SOL", "output_token": "USDC", "amount_in": "1.5"}
    found = await both_ways.give_the_same_shortly(
        *(own(idempotency_key="k"), own(idempotency_key="k"), own(foreign, idempotency_key="k")),
        *(own(dearer, idempotency_key="k"), own({}, idempotency_key="k"), own(b"{")),
        *(own(named), own(named), own(dearer | {"clientOrderId": "c"}), own(named | {"x": 1})),
        *(order(idempotency_key="k"), order(named)),
        *(own(idempotency_key=key) for key in ("a,b", " ", "\xff", "x" * 256, " k ")),
        *(own(idempotency_keys="k"), own(x_idempotency_key="k")),
        *(own(lines) for lines in ({"clientOrderId": "\u00e9"}, {"client_order_id": 1})),
        Asked(SELL_SOL, JSON | {"authorization": MINE}, lines=((b"idempotency_key", b"k"),)),
        *(
            Asked(SELL_SOL, JSON | {"authorization": MINE, "idempotency_key": "k"}, lines=(line,))
            for line in ((b"idempotency-key", b"k"), (b"idempotency-key", b"other"))
        ),
    )
    assert statuses(found) == {200, 201, 400, 409, 422}


@override_settings(ACCOUNT_RATE_LIMIT=None, RESTING_RATE_LIMIT=None)
async def test_orders_that_rest_sent_again(both_ways: BothWays, prices: None) -> None:
    named = OCO | {"takeProfit": OCO["takeProfit"] | {"clientOrderId": "c"}}
    found = await both_ways.give_the_same_shortly(
        *(own(named), own(named), own(named | {"amountIn": "2"})),
        *(own(STOP, idempotency_key="k"), own(STOP, idempotency_key="k")),
        *(own(OCO, idempotency_key="k"), order(named), order(OCO, idempotency_key="k")),
        own(OCO, idempotency_key="x" * 255),
    )
    assert [answer[0] for answer in found] == [201, 200, 409, 201, 200, 422, 400, 400, 400]


async def test_limits_of_orders_that_rest(both_ways: BothWays) -> None:
    safe = STOP | {"ifCrossed": "execute"}
    with override_settings(RESTING_RATE_LIMIT=Rate(3, 3600), MAX_OPEN_ORDERS=2):
        found = await both_ways.give_the_same_shortly(own(safe), own(safe), own(safe), own(safe))
        assert [answer[0] for answer in found] == [201, 201, 409, 429]


async def test_limits(both_ways: BothWays, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(ACCOUNT_RATE_LIMIT=Rate(2, 3600)):
        for send in (own, order):
            found = await both_ways.give_the_same_shortly(send(), send({}), send(), send({}))
            assert [answer[0] for answer in found] == [201, 400, 429, 429]
            assert found[2][5], "the security log tells of it"
    for refusal in (Overloaded, ShareIsFull):
        monkeypatch.setattr(Backlog, "_refusal_of", lambda *_, found=refusal: found())
        await both_ways.give_the_same_shortly(own(), order(), own(idempotency_key="k"), own({}))


UNLUCKY: list[Asked] = [
    *(order(), own(), own(idempotency_key="k"), order(SELL_SOL | {"clientOrderId": "c"})),
    *(own(SELL_SOL | {"client_order_id": "c"}), order(b"{"), order({}), own(b"\xff"), own(b"[]")),
    own(b"", idempotency_key=""),
]


async def no_answer(*_: object, **__: object) -> Any:
    raise psycopg.OperationalError("the server said nothing")


async def doubt(*_: object, **__: object) -> Any:
    raise OutcomeUnknown("0194a7de-0000-7000-8000-000000000000")


async def halt(*_: object, **__: object) -> Any:
    raise TradingHalted


async def bug(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("a bug")


FAILURES: dict[str, Callable[[pytest.MonkeyPatch], AbstractContextManager[None]]] = {
    "the database is away": lambda _: database_away(),
    "keys are away": lambda patch: patched(patch, Accounts, "holder_of", no_answer),
    "no order is stored": lambda patch: patched(patch, submission, "submit_order", no_answer),
    "nobody knows": lambda patch: patched(patch, submission, "submit_order", doubt),
    "trading is halted": lambda patch: patched(patch, submission, "submit_order", halt),
    "a bug": lambda patch: patched(patch, submission, "submit_order", bug),
    "a bug before": lambda patch: patched(patch, submission, "accepted_before", bug),
}


def patched(
    patch: pytest.MonkeyPatch, where: Any, name: str, instead: Any
) -> AbstractContextManager[None]:
    patch.setattr(where, name, instead)
    return nullcontext()


@pytest.mark.parametrize("failure", FAILURES)
async def test_failures(both_ways: BothWays, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    is_away = FAILURES[failure] is FAILURES["the database is away"]  # then keys take their time
    sent = [one for one in UNLUCKY if not (is_away and "authorization" in one.headers)]
    with FAILURES[failure](monkeypatch):
        found = await both_ways.give_the_same_shortly(*sent)
    assert max(statuses(found)) == (500 if "bug" in failure else 503)


@override_settings(MAX_ORDER_VALUE=Decimal(1))
async def test_orders_of_too_much(both_ways: BothWays) -> None:
    await both_ways.give_the_same_shortly(order(), own(), order({"type": "market"}))
