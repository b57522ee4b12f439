"""Bodies and connections as networks deliver them: to the engine alone, and through nginx."""

import json
import re
import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from urllib.parse import urlencode

import pytest
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from config.stack.processes import WEB_OPTIONS
from orders.urls import probe_paths
from tests.support.engine import PATIENCE, Answer, Engine, Web, engine, wait_for
from tests.support.nginx import SITE, nginx_before
from tests.support.wire import JSON, ORDER, Wire, chunked, head, post, wire

IN_CHUNKS = b"transfer-encoding: chunked\r\n"
FORM = b"content-type: application/x-www-form-urlencoded\r\n"
OFFERS = {
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
    "any name": b"connection: keep-alive, upgrade\r\nupgrade: TLS/1.0, IRC/6.9\r\n",
    "two headers": b"connection: upgrade\r\nconnection: keep-alive\r\nupgrade: foo\r\n",
}
KEY = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
HANDSHAKE = b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n" + KEY


@pytest.fixture(scope="module")
def running(
    process_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Web]]:
    with engine(process_database, tmp_path_factory.mktemp("wire")) as found:
        yield found, found.web()


@pytest.fixture(scope="module")
def behind_nginx(running: tuple[Engine, Web]) -> Iterator[int]:
    with nginx_before(running[1].port) as port:
        yield port


@pytest.fixture(scope="module")
def behind_two(behind_nginx: int) -> Iterator[int]:
    with nginx_before(behind_nginx) as port:
        yield port


def port_of(request: pytest.FixtureRequest, web: Web) -> int:
    return web.port if request.param == "alone" else int(request.getfixturevalue(request.param))


@pytest.fixture(params=["alone", "behind_nginx"])
def port(request: pytest.FixtureRequest, running: tuple[Engine, Web]) -> int:
    return port_of(request, running[1])


@pytest.fixture(params=["alone", "behind_nginx", "behind_two"])
def far_port(request: pytest.FixtureRequest, running: tuple[Engine, Web]) -> int:
    return port_of(request, running[1])


@pytest.fixture
def client(port: int) -> Iterator[Wire]:
    with wire(port) as found:
        yield found


@pytest.fixture(autouse=True)
def stored(running: tuple[Engine, Web]) -> "Stored":
    return Stored(running[0])


class Stored:
    """How many orders this test has stored."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before = self._count()

    def __eq__(self, other: object) -> bool:
        return self._count() - self._before == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(self._count() - self._before)

    def _count(self) -> int:
        found: int = self._engine.value("SELECT count(*)::int FROM orders")
        return found


def assert_refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.body["error"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["status"] == status
    assert answer.body["message"] == answer.body["detail"]


def login_page(client: Wire, path: str, host: bytes) -> tuple[bytes, str]:
    """Return the header of the page's cookie, and its CSRF token."""
    client.send(head(f"GET {path}", host=host))
    page = client.answer()
    (token,) = set(re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page.body))
    return f"cookie: {page.headers['set-cookie'].partition(';')[0]}\r\n".encode(), token


# Answers


def test_an_answer_without_a_body_comes_as_soon_as_any_other(client: Wire) -> None:
    client.send(head("GET /api/markets"))
    tag = client.answer().headers["etag"].encode()
    for asked in (
        head("HEAD /api/markets"),
        head("GET /api/markets", b"if-none-match: %s\r\n" % tag),
    ):
        client.send(asked)
        assert client.line_until(b"\r\n\r\n").startswith((b"HTTP/1.1 200", b"HTTP/1.1 304"))
    client.send(post())
    assert client.answer().status == 201


# Bodies


@pytest.mark.parametrize("way", [b"", b"cookie: a=b\r\n"], ids=["short way", "stock way"])
@pytest.mark.parametrize("path", ["/api/orders/execute", "/execute/", "/orders"])
def test_a_body_in_chunks_is_read_as_any_other(
    client: Wire, stored: Stored, way: bytes, path: str
) -> None:
    for number in (1, 2):
        client.send(head(f"POST {path}", JSON, IN_CHUNKS, way), chunked(ORDER))
        answer = client.answer()
        assert (answer.status, answer.body["amountIn"]) == (201, "1.5")
        assert stored == number


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_a_form_in_chunks_is_read_as_any_other(client: Wire, path: str) -> None:
    cookie, token = login_page(client, path, b"localhost")
    form = urlencode({"csrfmiddlewaretoken": token, "username": "nobody", "password": "x"})
    client.send(head(f"POST {path}", FORM, IN_CHUNKS, cookie), chunked(form.encode(), 50))
    answer = client.answer()

    assert answer.status == 200, answer.body
    assert 'value="nobody"' in answer.body


@pytest.mark.parametrize("way", [b"", b"cookie: a=b\r\n"], ids=["short way", "stock way"])
def test_a_body_in_chunks_that_grows_too_large_is_refused(
    client: Wire, stored: Stored, way: bytes
) -> None:
    large = chunked(b" " * 70_000 + ORDER, 5_000)
    client.send(head("POST /execute", JSON, IN_CHUNKS, way), large)
    assert_refused(client.answer(), 413, "body_too_large")
    assert stored == 0


def test_what_stands_behind_the_chunks_is_no_header(client: Wire, stored: Stored) -> None:
    trailer = b"0\r\nauthorization: Bearer nobody\r\ncontent-encoding: gzip\r\n\r\n"
    body = chunked(ORDER).replace(b"0\r\n\r\n", trailer)
    client.send(head("POST /execute", JSON, IN_CHUNKS), body)

    assert client.answer().status == 201
    client.send(post())
    assert client.answer().status == 201
    assert stored == 2


@pytest.mark.parametrize("offer", [b"", OFFERS["h2c"]], ids=["plain", "with an offer"])
@pytest.mark.parametrize("length", [b"content-length: %d\r\n" % len(ORDER), IN_CHUNKS])
def test_a_client_that_waits_to_be_told_to_go_on_is_told_so(
    client: Wire, stored: Stored, length: bytes, offer: bytes
) -> None:
    client.send(head("POST /execute", JSON, length, b"expect: 100-continue\r\n", offer))

    assert client.line() == b"HTTP/1.1 100 Continue\r\n"
    assert client.line() == b"\r\n"
    client.send(ORDER if length != IN_CHUNKS else chunked(ORDER))
    assert client.answer().status == 201
    assert stored == 1


@pytest.mark.parametrize("path", ["/execute", "/accounts/login/", "/api/ws-tickets"])
def test_a_body_that_is_coded_is_refused_with_what_is_read(
    port: int, stored: Stored, path: str
) -> None:
    for coding in ("gzip", "deflate", "br", "junk", "identity, gzip", "GZIP"):
        with wire(port) as client:
            client.send(post(f"content-encoding: {coding}\r\n".encode(), path=path))
            answer = client.answer()
        assert_refused(answer, 415, "unsupported_media_type")
        assert answer.headers["accept-encoding"] == "identity"
        assert stored == 0, coding


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_that_is_said_to_be_as_it_is_is_read(
    client: Wire, stored: Stored, coding: str
) -> None:
    client.send(post(f"content-encoding: {coding}\r\n".encode()))
    assert client.answer().status == 201
    assert stored == 1


@pytest.mark.parametrize("path", ["/execute", "/accounts/login/"])
def test_a_body_in_another_charset_is_refused(port: int, stored: Stored, path: str) -> None:
    length = b"content-length: %d\r\n" % len(ORDER)
    for charset in ("utf-16", "latin1", "ISO-8859-1", '"utf-16"', "nonsense"):
        kind = f"content-type: application/json; charset={charset}\r\n".encode()
        with wire(port) as client:
            client.send(head(f"POST {path}", kind, length), ORDER)
            assert_refused(client.answer(), 415, "unsupported_media_type")
        assert stored == 0, charset


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", '"Utf-8"', "us-ascii"])
def test_a_body_that_is_said_to_be_utf_8_is_read(
    client: Wire, stored: Stored, charset: str
) -> None:
    kind = f"content-type: application/json;Charset={charset}\r\n".encode()
    client.send(head("POST /execute", kind, b"content-length: %d\r\n" % len(ORDER)), ORDER)
    assert client.answer().status == 201
    assert stored == 1


# Text


NO_TEXT = ["%ff", "%00", "%ed%a0%80", "%f0%9f%92", "a%c0%af"]
PLACES = [
    *("/{}", "/api/orders/{}", "/api/orders/{}/events", "/static/{}.css", "/static/{}/../x"),
    *("/admin/{}/", "/admin/orders/order/{}/change/", "/api/orders?status={}", "/health/{}"),
    *("/api/orders?cursor={}", "/api/orders?createdAfter={}", "/api/orders?{}=1"),
    *("/accounts/login/?next={}", "/admin/login/?next=/{}", "/api/orders?format={}"),
]
NO_TEXT_HEADERS = [
    *("idempotency-key", "authorization", "cookie", "accept", "accept-language", "user-agent"),
    *("x-request-id", "x-forwarded-for", "x-forwarded-proto", "referer", "if-none-match"),
    *("origin", "content-encoding", "if-modified-since", "x-csrftoken", "range"),
]


@pytest.fixture
def is_well(running: tuple[Engine, Web]) -> Iterator[None]:
    """The engine has nothing to complain of at the end."""
    yield
    assert "Traceback" not in running[1].output
    assert "internal_error" not in running[1].output


@pytest.mark.usefixtures("is_well")
@pytest.mark.parametrize("place", PLACES)
def test_an_address_that_is_no_text_is_refused_or_means_nothing(port: int, place: str) -> None:
    for text in NO_TEXT:
        with wire(port) as client:
            client.send(head(f"GET {place.format(text)}"))
            assert 200 <= client.answer().status < 500, text


@pytest.mark.usefixtures("is_well")
@pytest.mark.parametrize("name", NO_TEXT_HEADERS)
def test_a_header_that_is_no_text_is_refused_or_means_nothing(port: int, name: str) -> None:
    for value in (b"\xff\xfe%00", b"sessionid=\xed\xa0\x80"):
        line = name.encode() + b": " + value + b"\r\n"
        with wire(port) as client:
            client.send(head("GET /api/orders", line), post(line))
            for _ in range(2):
                assert 200 <= client.answer().status < 500, value


@pytest.mark.usefixtures("is_well")
@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_a_form_that_is_no_text_logs_nobody_in(port: int, path: str) -> None:
    with wire(port) as client:
        cookie, token = login_page(client, path, b"localhost")
    right = {"csrfmiddlewaretoken": token, "username": "nobody", "password": "x"}
    for field, text in product((*right, "next"), ("%ff", "%00")):
        form = "&".join(f"{name}={value}" for name, value in (right | {field: text}).items())
        length = b"content-length: %d\r\n" % len(form)
        with wire(port) as client:
            client.send(head(f"POST {path}", FORM, length, cookie), form.encode())
            assert client.answer().status in (200, 400, 403), (field, text)


@pytest.mark.usefixtures("is_well")
@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe{\x00}\x00", ORDER + b"\xff", b"\xef\xbb\xbf" + ORDER, b'{"a":"\xed\xa0\x80"}'],
)
def test_a_body_that_is_no_text_is_refused(client: Wire, stored: Stored, body: bytes) -> None:
    client.send(post(body=body))
    assert_refused(client.answer(), 400, "malformed_json")
    assert stored == 0


# Upgrades


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_an_offer_of_another_protocol_is_passed_over(
    client: Wire, stored: Stored, offer: bytes
) -> None:
    client.send(post(offer))
    answer = client.answer()

    assert (answer.status, answer.body["amountIn"]) == (201, "1.5")
    client.send(head("POST /execute", JSON, IN_CHUNKS, offer), chunked(ORDER))
    assert client.answer().status == 201
    assert stored == 2


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("line", ["POST /execute", "GET /health", "PUT /nothing"])
def test_a_body_behind_an_offer_never_becomes_a_request(
    client: Wire, stored: Stored, offer: bytes, line: str
) -> None:
    inner = post()
    length = b"content-length: %d\r\n" % len(inner)
    client.send(head(line, JSON, length, offer))
    client.send(inner)
    client.send(head("GET /livez"))

    assert client.answer().status != 201
    assert client.answer().body == {"status": "ok"}, "the next request is the next"
    assert stored == 0


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_requests_in_the_packet_of_an_offer_are_each_answered_once(
    client: Wire, stored: Stored, offer: bytes
) -> None:
    client.send(head("GET /livez", offer), post(offer), head("GET /livez", offer), post())
    client.say_no_more()
    assert [client.answer().status for _ in range(4)] == [200, 201, 200, 201]
    assert client.is_closed()
    assert stored == 2


def test_an_offer_that_comes_in_pieces_is_passed_over(client: Wire, stored: Stored) -> None:
    for byte in post(OFFERS["h2c"]):
        client.send(bytes([byte]))
    assert client.answer().status == 201
    assert stored == 1


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("path", ["/api/orders/execute", "/ws/orders/1", "/nothing"])
def test_an_order_sent_as_a_handshake_is_told_so_and_not_taken(
    client: Wire, stored: Stored, path: str, pieces: int
) -> None:
    request = post(HANDSHAKE, body=post(), path=path)
    middle = request.index(b"\r\n\r\n") + 4
    client.send(*([request] if pieces == 1 else [request[:middle]]))
    if pieces == 2:
        client.send(request[middle:])
    answer = client.answer()
    assert_refused(answer, 400, "bad_handshake")

    assert answer.headers["connection"] == "close" or "nginx" in answer.headers["server"]
    client.say_no_more()
    assert client.is_closed()
    assert stored == 0


@pytest.mark.parametrize("version", [b"8", b"7", b"14", b"x"])
def test_a_websocket_of_another_version_is_told_ours(client: Wire, version: bytes) -> None:
    client.send(head("GET /execute", HANDSHAKE.replace(b"13", version)))
    answer = client.answer()
    assert_refused(answer, 426, "websocket_version")
    assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    "key", [b"", b"sec-websocket-key: x\r\n", KEY + KEY, KEY.replace(b"=", b"")], ids=str
)
def test_a_handshake_without_a_key_is_told_so(client: Wire, key: bytes) -> None:
    client.send(head("GET /execute", HANDSHAKE.replace(KEY, key)))
    assert_refused(client.answer(), 400, "bad_handshake")


@pytest.mark.usefixtures("is_well")
@pytest.mark.parametrize(
    "place", ["/{}", "/ws/orders/{}", "/execute?orderId={}&after={}", "/ws?{}"]
)
def test_a_handshake_that_is_no_text_is_opened_and_told_so(port: int, place: str) -> None:
    for text in NO_TEXT:
        with wire(port) as client:
            client.send(head(f"GET {place.format(text, text)}", HANDSHAKE))
            opened = client.line()
            if b" 400 " in opened:
                continue  # nginx takes no NUL in a path
            assert opened == b"HTTP/1.1 101 Switching Protocols\r\n", text
            while client.line() != b"\r\n":
                pass
            assert client.line_until(b'"type":"error"')


@pytest.mark.usefixtures("is_well")
def test_a_handshake_with_a_header_that_is_no_text_is_answered(port: int) -> None:
    for name in (*NO_TEXT_HEADERS, "sec-websocket-protocol"):
        line = b"%s: \xff\xfe\r\n" % name.encode()
        with wire(port) as client:
            client.send(head("GET /execute?orderId=1", HANDSHAKE, line))
            assert client.line().split()[1] in (b"101", b"400", b"401", b"403"), name


def test_a_websocket_among_other_offers_is_opened(client: Wire) -> None:
    client.send(head("GET /execute", HANDSHAKE.replace(b"websocket\r\n", b"h2c, WebSocket\r\n")))
    assert client.line() == b"HTTP/1.1 101 Switching Protocols\r\n"


# Sockets and pages


def test_a_socket_of_our_own_page_takes_orders(far_port: int, stored: Stored) -> None:
    page = Origin(f"http://127.0.0.1:{far_port}")
    with connect(f"ws://127.0.0.1:{far_port}/execute", origin=page) as socket:
        socket.send(ORDER.decode())
        assert json.loads(socket.recv(PATIENCE))["status"] == "pending"
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{far_port}/execute", origin=Origin("http://127.0.0.1:1"))

    assert stored == 1


def test_a_socket_on_a_path_that_nothing_serves_says_where_orders_are(far_port: int) -> None:
    with connect(f"ws://127.0.0.1:{far_port}/socket.io/?EIO=4") as socket:
        frame = json.loads(socket.recv(PATIENCE))
        assert (frame["type"], frame["httpStatus"]) == ("error", 404)
        assert "/ws/orders/{id}" in frame["message"]
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)
        assert socket.close_code == 4404


def test_links_keep_the_port_that_the_client_named(far_port: int) -> None:
    with wire(far_port) as client:
        host = b"127.0.0.1:%d" % far_port
        length = b"content-length: %d\r\n" % len(ORDER)
        client.send(head("POST /execute", JSON, length, host=host), ORDER)
        assert client.answer().body["links"]["orders"] == f"http://127.0.0.1:{far_port}/api/orders"


def test_a_form_of_our_own_page_is_taken_and_that_of_another_is_not(far_port: int) -> None:
    host = b"127.0.0.1:%d" % far_port
    with wire(far_port) as client:
        cookie, token = login_page(client, "/accounts/login/", host)
        form = urlencode({"csrfmiddlewaretoken": token, "username": "nobody", "password": "x"})
        length = b"content-length: %d\r\n" % len(form)
        for origin, status in ((b"http://" + host, 200), (b"http://127.0.0.1:1", 403)):
            said = b"origin: %s\r\n" % origin
            client.send(head("POST /accounts/login/", FORM, length, cookie, said, host=host))
            client.send(form.encode())
            assert client.answer().status == status


def test_however_many_proxies_there_are_each_request_is_answered_once(
    far_port: int, stored: Stored
) -> None:
    with wire(far_port) as client:
        client.send(head("POST /execute", JSON, IN_CHUNKS, OFFERS["h2c"]), chunked(ORDER))
        client.send(post(OFFERS["any name"]))
        client.say_no_more()
        assert [client.answer().status for _ in range(2)] == [201, 201]
        assert client.is_closed()

    assert stored == 2


# Ends


@pytest.mark.parametrize("request_", [post(), head("GET /health"), head("GET /api/markets")])
def test_a_client_that_has_said_all_gets_its_answer(client: Wire, request_: bytes) -> None:
    client.send(request_)
    client.say_no_more()
    assert client.answer().status in (200, 201)
    assert client.is_closed()


@pytest.mark.parametrize("offer", [b"", OFFERS["h2c"]], ids=["plain", "with an offer"])
@pytest.mark.parametrize("length", [b"content-length: 500\r\n", IN_CHUNKS])
@pytest.mark.parametrize("way", [b"", b"cookie: a=b\r\n"], ids=["short way", "stock way"])
def test_a_client_that_ends_in_the_middle_of_its_body_has_sent_nothing(
    client: Wire, stored: Stored, length: bytes, way: bytes, offer: bytes
) -> None:
    body = ORDER if length != IN_CHUNKS else chunked(ORDER).removesuffix(b"0\r\n\r\n")
    client.send(head("POST /execute", JSON, length, way, offer), body)
    client.say_no_more()
    heard = client.connection.recv(12)

    assert heard in (b"", b"HTTP/1.1 400")
    assert stored == 0


def test_who_ends_in_a_head_is_closed(client: Wire) -> None:
    client.send(b"POST /execute HTTP/1.1\r\nhost")
    client.say_no_more()
    assert client.connection.recv(12) in (b"", b"HTTP/1.1 400")


# nginx alone: what it keeps from the engine


@pytest.mark.parametrize("path", [path for path in probe_paths() if "metrics" in path])
def test_the_metrics_are_shut_to_requests_through_nginx(behind_nginx: int, path: str) -> None:
    disguised = [path, f"{path}?a=b", f"/{path}", f"/x/..{path}", path.replace("m", "%6D")]
    for form in [*disguised, f"/.{path}", path.replace("metrics", "metric%73")]:
        with wire(behind_nginx) as client:
            client.send(head(f"GET {form}"))
            assert client.answer().status == 403, form
    for form in (path.upper(), f"{path}x", f"{path.rstrip('/')};a"):
        with wire(behind_nginx) as client:
            client.send(head(f"GET {form}"))
            assert client.answer().status == 404, form


@contextmanager
def crowd(port: int, source: str, size: int) -> Iterator[list[Wire]]:
    """So many connections of one client."""
    with ExitStack() as stack:
        yield [
            Wire(
                stack.enter_context(
                    socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
                )
            )
            for _ in range(size)
        ]


def is_answered(client: Wire) -> bool:
    return bool(select.select([client.connection], [], [], 0)[0])


@pytest.mark.parametrize("source", ["127.0.0.66", "127.0.0.67"])
def test_one_client_has_so_many_connections_through_nginx_and_no_more(
    behind_nginx: int, source: str
) -> None:
    with crowd(behind_nginx, source, 260) as clients:
        for one in clients:
            one.send(head("POST /execute", JSON, b"content-length: 9\r\n"))  # and no body
        wait_for(lambda: sum(map(is_answered, clients)) >= 4, what="some are refused")
        refused = [one.answer().status for one in clients if is_answered(one)]
        assert refused == [429] * 4
        with wire(behind_nginx) as other:
            other.send(post())
            assert other.answer().status == 201, "others are served"


def test_a_flood_of_requests_of_one_client_ends_at_nginx(behind_nginx: int) -> None:
    with crowd(behind_nginx, "127.0.0.68", 16) as clients:
        for one in clients:
            one.send(head("GET /metrics") * 100)
        answers = Counter(one.answer().status for one in clients for _ in range(100))

    assert answers.keys() == {403, 429}
    assert answers[403] >= 1000, "an honest burst is let through"
    with wire(behind_nginx) as other:
        other.send(post())
        assert other.answer().status == 201, "others are served"


# The engine alone: nginx refuses these in its own words


@pytest.fixture
def direct(running: tuple[Engine, Web]) -> Iterator[Wire]:
    with wire(running[1].port) as found:
        yield found


def test_who_ends_in_the_middle_of_a_body_is_told_so(direct: Wire, stored: Stored) -> None:
    direct.send(post(), post()[:-5])
    direct.say_no_more()

    assert direct.answer().status == 201
    assert_refused(direct.answer(), 400, "bad_request")
    assert direct.is_closed()
    assert stored == 1


@pytest.mark.parametrize(
    "junk",
    [
        b"junk\r\n\r\n",
        head("GET /livez").replace(b"host: localhost\r\n", b""),
        head("GET /livez", b"host: localhost\r\n"),
        head("GET /livez", b"content-length: x\r\n"),
        head("POST /execute", b"content-length: 1\r\n", IN_CHUNKS),
        head("GET /livez", b"a: \x00\r\n"),
        head("GET /x", HANDSHAKE).replace(b"/x", b"/\xff"),
        "GET /ü HTTP/1.1\r\nhost: localhost\r\n\r\n".encode("latin-1"),
        head("POST /execute", JSON, IN_CHUNKS) + b"x\r\n",
    ],
)
def test_what_cannot_be_read_is_refused_after_the_answers_before_it(
    direct: Wire, stored: Stored, junk: bytes
) -> None:
    direct.send(post(), junk, post())

    assert direct.answer().status == 201
    assert_refused(direct.answer(), 400, "bad_request")
    direct.say_no_more()
    assert direct.is_closed()
    assert stored == 1


def test_a_handshake_before_the_answer_to_what_came_before_it_is_refused(
    direct: Wire, stored: Stored
) -> None:
    direct.send(post())

    assert direct.answer().status == 201
    direct.send(post(), head("GET /execute", HANDSHAKE))
    assert direct.answer().status == 201
    assert_refused(direct.answer(), 400, "bad_handshake")
    assert stored == 2


def test_a_connection_that_was_used_opens_a_websocket(direct: Wire, stored: Stored) -> None:
    direct.send(post())
    assert direct.answer().status == 201
    direct.send(head("GET /execute", HANDSHAKE))
    assert direct.line() == b"HTTP/1.1 101 Switching Protocols\r\n"
    assert stored == 1


def test_what_is_refused_unread_is_in_the_log(running: tuple[Engine, Web], direct: Wire) -> None:
    direct.send(b"junk\r\n\r\n")
    assert direct.answer().status == 400
    wait_for(lambda: "refused: This is no HTTP request" in running[1].output, what="it is logged")


def test_a_tunnel_is_refused(direct: Wire) -> None:
    direct.send(b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n", post())
    assert_refused(direct.answer(), 501, "bad_request")


def test_an_old_client_needs_no_host(direct: Wire) -> None:
    direct.send(b"GET /livez HTTP/1.0\r\n\r\n")
    assert direct.answer().body == {"status": "ok"}
    assert direct.is_closed()


def test_a_connection_is_kept_longer_than_proxies_keep_theirs() -> None:
    (seconds,) = re.findall(r"keepalive_timeout (\d+)s;", SITE.read_text())
    assert int(WEB_OPTIONS["--timeout-keep-alive"]) > int(seconds)
    assert int(WEB_OPTIONS["--timeout-keep-alive"]) > 75
