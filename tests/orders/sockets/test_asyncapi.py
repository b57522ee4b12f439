"""The AsyncAPI document says what the sockets take and tell, and how they close."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from config.environment.data_folder import PROJECT
from orders.api.reading import dialects
from orders.api.reading.dialects import ENTRY_PATHS
from orders.api.reading.fields import KEY
from orders.api.reading.serializers import ORDER_REQUEST
from orders.api.schema.asyncapi import asyncapi, asyncapi_text
from orders.api.schema.sockets import shared_schemas
from orders.lifecycle import Status
from orders.sockets import consumers, protocol, urls
from orders.sockets.entry import ACTIONS, MOST_ANSWERS, MOST_KEPT, MOST_UNDER_WAY, REQUEST_ID
from orders.sockets.protocol import Close
from tests.support.asyncapi_form import DOCUMENT
from tests.support.client import Socket, connected, database_away, get, post, submit
from tests.support.shapes import assert_shape, assert_told, has_shape, name_of
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("redis_client")

SCHEMAS = asyncapi()["components"]["schemas"]
MESSAGES = asyncapi()["components"]["messages"]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for one in value.values() for found in references(one)]
    if isinstance(value, list):
        return [found for one in value for found in references(one)]
    return []


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    for reference in references(asyncapi()):
        found = asyncapi()
        for word in reference.removeprefix("#/").split("/"):
            found = found[word]
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)

    assert asyncapi()["asyncapi"] == "3.0.0"


def test_every_example_has_the_shape_it_illustrates() -> None:
    for name, message in MESSAGES.items():
        assert message["examples"]
        for example in message["examples"]:
            shape = message["payload"]["$ref"].rpartition("/")[2]
            assert_shape(example["payload"], shape, of_sockets=True)
            if name in set(Status):
                assert example["payload"]["status"] == name


def test_the_schemas_say_no_to_what_is_none_of_them() -> None:
    confirmed = MESSAGES["confirmed"]["examples"][0]["payload"]

    assert has_shape(confirmed, "ConfirmedEvent")
    for change in (
        {"seq": 0},
        {"status": "pending"},
        {"executedPrice": 98.7},
        {"more": 1},
        {"data": confirmed["data"] | {"more": 1}},
        {"timestamp": None},
    ):
        assert not has_shape(confirmed | change, "ConfirmedEvent"), change
    for member in confirmed:
        assert not has_shape(
            {name: value for name, value in confirmed.items() if name != member}, "ConfirmedEvent"
        )


TYPE_SAID = re.compile(r"""["']type["']:\s*["'](\w+)["']""")  # those of nudges have a dot


def test_the_document_has_the_form_of_asyncapi_3() -> None:
    document = json.loads(json.dumps(asyncapi()))
    error = best_match(Draft202012Validator(DOCUMENT).iter_errors(document))
    assert error is None, f"{error.message[:300]} at {error.json_path}"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("channels", "prices", "adress"), "/ws/prices"),
        (("channels", "prices", "messages", "pong"), {"$ref": "#/messages/pong"}),
        (("operations", "followPrices", "action"), "publish"),
        (("operations", "followPrices", "messages"), []),
        (("components", "messages", "pong", "examples"), []),
        (("servers", "local", "protocol"), "gopher"),
    ],
)
def test_a_document_of_another_form_is_noticed(place: tuple[str, ...], value: Any) -> None:
    document = json.loads(json.dumps(asyncapi()))
    part = document
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    assert not Draft202012Validator(DOCUMENT).is_valid(document)


def test_the_committed_document_is_the_one_of_the_code() -> None:
    written = (PROJECT / "docs/asyncapi.yaml").read_text()
    assert written == asyncapi_text(), "write it anew: manage.py describe_api"
    assert yaml.safe_load(written) == asyncapi()


def test_each_type_that_a_socket_tells_is_a_message_with_an_example() -> None:
    rooms = ("orders/sockets", "orders/streams", "orders/api/following")
    modules = [one for room in rooms for one in (PROJECT / room).glob("*.py")]
    told = {found for one in modules for found in TYPE_SAID.findall(one.read_text())}
    examples = [
        example["payload"] for message in MESSAGES.values() for example in message["examples"]
    ]
    described = {example["type"] for example in examples if "type" in example}

    assert told <= described
    assert {"status_update", "error", "pong", "quote"} <= described


def test_close_codes_and_words_are_those_of_the_code() -> None:
    codes = {int(code): said for code, said in asyncapi()["x-close-codes"].items()}

    assert codes == {code.value: code.meaning for code in Close}
    assert all(said.endswith(".") for said in codes.values())
    assert f"{protocol.MAX_FRAMES} frames" in Close.TOO_MUCH.meaning
    assert f"{consumers.MAX_OPEN_ORDERS} open orders" in Close.TOO_MUCH.meaning
    assert set(SCHEMAS["Status"]["enum"]) == set(Status) == set(MESSAGES) & set(Status)
    assert set(SCHEMAS["OrderRequest"]["properties"]) == set(ORDER_REQUEST.fields)


def test_the_frames_of_order_entry_are_those_of_the_code() -> None:
    asked = {name: one for name, one in SCHEMAS.items() if "requestId" in one.get("required", ())}
    frames = [one["properties"] for one in asked.values() if "action" in one["properties"]]
    assert {frame["action"]["const"] for frame in frames} == {*ACTIONS}
    assert len(frames) == len(ACTIONS)
    keys = [frame["idempotencyKey"] for frame in frames if "idempotencyKey" in frame]
    assert {key["pattern"] for key in keys} == {f"^{KEY.pattern}$"}
    channel = asyncapi()["channels"]["orderEntry"]
    assert f"{MOST_UNDER_WAY} of them are under way" in channel["description"]


def test_the_frames_in_the_guide_have_their_shape() -> None:
    told = (PROJECT / "docs" / "sockets.md").read_text()
    frames = re.findall(r'^(?:> )?({"action".+})$', told, re.MULTILINE)
    for frame in frames:
        shown = json.loads(frame.replace("01a1…", "01a1fc02-2219-7ea8-9f11-ba64b00749af"))
        action = shown["action"]
        assert_shape(shown, f"{action[0].upper()}{action[1:]}Request", of_sockets=True)
    assert {json.loads(frame)["action"] for frame in frames} == {*ACTIONS}


def test_the_bounds_of_entry_are_told() -> None:
    told = " ".join((PROJECT / "docs" / "sockets.md").read_text().split())
    assert f"the newest {MOST_ANSWERS} answers and {MOST_KEPT // 1024} KiB of them" in told
    assert f"{MOST_UNDER_WAY} frames of a socket are under way at once" in told
    assert f"the newest {MOST_ANSWERS} of" in SCHEMAS["RequestId"]["description"]
    assert SCHEMAS["RequestId"]["pattern"] == f"^{REQUEST_ID.pattern}$"


def test_the_channels_are_the_paths_of_the_sockets() -> None:
    channels = [one for one in asyncapi()["channels"].values() if "bindings" in one]
    aliases = [path for one in channels for path in one.get("x-aliases", ())]
    addresses = {
        address.partition("?")[0].strip("/").replace("{orderId}", str(uuid4()))
        for address in (*(one["address"] for one in channels), *aliases)
    }
    patterns = [route.pattern.regex for route in urls.websocket_routes[:-1]]
    for address in addresses:
        assert any(pattern.match(address) for pattern in patterns), address
    for pattern in patterns:
        assert any(pattern.match(address) for address in (*addresses, *ENTRY_PATHS)), pattern
    taken = asyncapi()["components"]["schemas"]["OrderRequest"]

    assert {*taken["x-aliases"]} == {*dialects.SPELLINGS, dialects.PAIR}
    assert {*taken["x-ignored"]} == dialects.DROPPED
    told = asyncapi()["channels"]["orderEntry"]["description"]
    assert all(f"/{path}" in told or path in addresses for path in ENTRY_PATHS)


def decimals(value: Any, name: str = "") -> set[str]:
    """Return the names of all members that are decimals."""
    if isinstance(value, list):
        return {found for one in value for found in decimals(one, name)}
    if not isinstance(value, dict):
        return set()
    if value.get("$ref", "").endswith(("/Decimal", "/NetworkFee")):
        return {name}
    return {
        found
        for key, one in value.items()
        for found in decimals(one, name if key in ("anyOf", "allOf") else key)
    }


def test_every_decimal_of_an_event_is_a_number_where_other_systems_listen() -> None:
    names = {name for name in shared_schemas() if name.endswith(("Event", "Data", "Order"))}
    names |= {"Quote", "Leg", "Hop"}
    assert set().union(*(decimals(SCHEMAS[name]) for name in names)) == dialects.NUMBERS


@pytest.mark.usefixtures("engine_loop")
@pytest.mark.parametrize(
    "way",
    [
        (Status.ROUTING, Status.CANCELLED),
        (Status.ROUTING, Status.EXPIRED),
        (Status.CANCELLED,),
    ],
)
async def test_streams_that_end_early_tell_what_is_promised(way: tuple[Status, ...]) -> None:
    order_id = await submit()
    if way == (Status.CANCELLED,):
        assert (await post(f"/api/orders/{order_id}/cancel", {})).status == 200
    else:
        await Walker(order_id).walk(*way)
    async with connected(f"/ws/orders/{order_id}") as socket:
        messages, code = await socket.rest()

    assert code == Close.DONE
    assert_told(messages, "orderStream")
    assert [message["status"] for message in messages] == ["pending", *way]


@pytest.mark.usefixtures("engine_loop")
async def test_a_socket_that_follows_by_query_greets_as_promised() -> None:
    order_id = await submit()
    async with connected(f"/execute?orderId={order_id}&after=0") as socket:
        messages = await socket.messages(2)
    assert_told(messages, "orderEntry")
    assert [message["status"] for message in messages] == ["connected", "pending"]


async def provoke_unknown_action(socket: Socket) -> None:
    await socket.send({"action": "dance"})


async def provoke_invalid_order(socket: Socket) -> None:
    await socket.send({"action": "execute", "order": {"side": "up"}})


async def provoke_junk(socket: Socket) -> None:
    await socket.send_text("{")


async def provoke_flood(socket: Socket) -> None:
    for _ in range(protocol.MAX_FRAMES + 1):
        await socket.send({"action": "dance"})


@pytest.mark.usefixtures("engine_loop")
@pytest.mark.parametrize(
    ("path", "provoke", "error", "code"),
    [
        ("/execute", provoke_unknown_action, "unknown_action", None),
        ("/execute", provoke_invalid_order, "invalid_order", None),
        ("/execute", provoke_junk, "malformed_json", Close.JUNK),
        ("/execute", provoke_flood, "too_many_frames", Close.TOO_MUCH),
        ("/ws/orders/{id}", provoke_unknown_action, "unexpected_frame", None),
        ("/ws/orders/{id}", provoke_junk, "malformed_json", Close.JUNK),
        ("/ws/orders/{id}?after=x", None, "invalid_after", Close.JUNK),
        ("/execute?orderId={id}&after=-1", None, "invalid_after", Close.JUNK),
        ("/ws/orders/{id}?since=4", None, "invalid_request", Close.JUNK),
        ("/execute?orderid={id}", None, "invalid_request", Close.JUNK),
        (
            "/ws/orders/0194a7de-0000-7000-8000-000000000001",
            None,
            "order_not_found",
            Close.NO_SUCH_ORDER,
        ),
        ("/execute?orderId=1", None, "order_not_found", Close.NO_SUCH_ORDER),
    ],
)
async def test_errors_and_close_codes_are_those_that_are_promised(
    path: str, provoke: Any, error: str, code: Close | None
) -> None:
    order_id = await submit()
    channel = "orderStream" if path.startswith("/ws") else "orderEntry"
    async with connected(path.format(id=order_id)) as socket:
        if provoke:
            await provoke(socket)
        if code is None:
            messages = [await socket.message()]
            while name_of(messages[-1]) != "error":
                messages.append(await socket.message())
        else:
            messages, closed = await socket.rest()
            assert closed == code
    assert_told(messages, channel)

    assert error in [message.get("error") for message in messages]


@pytest.mark.usefixtures("engine_loop")
async def test_a_database_that_is_away_is_told_as_promised() -> None:
    with database_away():
        async with connected(f"/ws/orders/{uuid4()}") as socket:
            messages, code = await socket.rest()
    assert code == Close.TRY_AGAIN_LATER
    assert_told(messages, "orderStream")


@pytest.mark.parametrize("path", ["/api/schema/asyncapi.yaml", "/api/schema/sockets"])
async def test_the_document_is_served_as_it_is(path: str) -> None:
    answer = await get(path)
    assert answer.headers["content-type"] == "application/yaml"
    assert answer.text == asyncapi_text()
    assert (await get(path, if_none_match=answer.headers["etag"])).status == 304


async def test_the_page_tells_every_channel_message_and_close_code() -> None:
    page = await get("/api/docs/sockets", accept="text/html")

    assert page.status == 200
    for channel in asyncapi()["channels"].values():
        assert channel["address"] in page.text
    for name in MESSAGES:
        assert f'id="{name}"' in page.text
    for code in asyncapi()["x-close-codes"]:
        assert f'<th scope="row">{code}</th>' in page.text
    for inline in ("<style", "<script>", "style=", '="http://', '="https://'):
        assert inline not in page.text


async def test_the_page_tells_what_each_parameter_of_a_query_means() -> None:
    page = await get("/api/docs/sockets", accept="text/html")

    told = dict(re.findall(r"<dt><code>\?([\w.]+)=</code></dt><dd>(.*?)</dd>", page.text))
    assert {"after", "ticket", "cursor", "market", "tag.NAME"} <= set(told)
    assert all(told.values())
