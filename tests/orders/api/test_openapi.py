"""The OpenAPI schema says what the API does: its paths, requests, answers and errors."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from drf_spectacular.renderers import OpenApiYamlRenderer

from config.environment.data_folder import PROJECT
from orders.api.filters import OrderFilter
from orders.api.reading.dialects import ENTRY_PATHS
from orders.api.reading.parsers import parse_json
from orders.api.reading.serializers import ORDER_REQUEST, InvalidOrder
from orders.api.schema import openapi as declared
from orders.api.schema.examples import DIALECTS
from orders.api.schema.openapi import openapi
from orders.api.schema.problem_codes import problem_codes
from orders.lifecycle import Status
from orders.models import FailureCode
from orders.urls import entry_paths
from routing.venue import Side
from routing.venues import LABELS
from tests.support.client import SELL_SOL, Answer, database_away, get, post, request, submit
from tests.support.shapes import assert_shape, has_shape
from tests.support.walker import Walker, confirm

COMMITTED = PROJECT / "docs" / "openapi.yaml"
SCHEMAS = openapi()["components"]["schemas"]
OPERATIONS = [
    (path, method, operation)
    for path, methods in openapi()["paths"].items()
    for method, operation in methods.items()
]
BODIES = [
    (f"{operation['operationId']} {status}", content)
    for _, _, operation in OPERATIONS
    for status, response in [
        ("body", operation.get("requestBody", {})),
        *operation["responses"].items(),
    ]
    for content in response.get("content", {}).values()
]


def operation(name: str) -> Any:
    (found,) = (one for _, _, one in OPERATIONS if one["operationId"] == name)
    return found


def assert_promised(answer: Answer, name: str) -> None:
    """Hold an answer to what its operation promises: status, media type and shape."""
    responses = operation(name)["responses"]
    assert str(answer.status) in responses, (name, answer.status)
    content = responses[str(answer.status)]["content"]
    media_type = answer.headers["content-type"]
    assert media_type in content, (name, media_type)
    assert_shape(answer.json, content[media_type]["schema"]["$ref"].rpartition("/")[2])


def test_the_committed_schema_is_the_one_of_the_code() -> None:
    written = OpenApiYamlRenderer().render(openapi()).decode()
    hint = "write it anew: manage.py spectacular --file docs/openapi.yaml"
    assert COMMITTED.read_text() == written, hint


def test_the_schema_is_valid_and_generated_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "openapi.yaml"
    call_command("spectacular", file=str(file), fail_on_warn=True, validate=True)
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(COMMITTED.read_text())


def test_every_path_is_there_once_and_every_operation_has_its_own_name() -> None:
    entries = {path.rstrip("/") for path in entry_paths()}

    assert set(declared.ENTRIES) == entries
    others = {
        "/api/orders/{order_id}",
        "/api/orders/{order_id}/events",
        "/api/orders/{order_id}/route",
        "/api/orders/{order_id}/cancel",
        "/health",
    }
    listed = {path for _, _, one in OPERATIONS for path in one.get("x-aliases", ())}
    assert entries | others | {"/api/health"} <= set(openapi()["paths"]) | listed
    assert not listed & set(openapi()["paths"]), "an alias is no operation of its own"
    names = [one["operationId"] for _, _, one in OPERATIONS]
    assert len(names) == len(set(names))
    assert {"placeOrder", "listOrders", "getOrder", "getOrderEvents", "cancelOrder"} < set(names)
    assert all(one["summary"] for _, _, one in OPERATIONS)


@pytest.mark.parametrize(("name", "content"), BODIES, ids=[name for name, _ in BODIES])
def test_every_example_has_the_shape_it_illustrates(name: str, content: Any) -> None:
    shape = content["schema"]["$ref"].rpartition("/")[2]
    for example in content.get("examples", {}).values():
        shown = told_in(example)
        assert_shape(shown, shape)
        if shape == "Problem":
            assert str(shown["status"]) == name.rpartition(" ")[2]
    assert content.get("examples")


def told_in(example: dict[str, Any]) -> Any:
    """Return what an example shows; some stand elsewhere in the schema."""
    if place := example.get("$ref", "").removeprefix("#/components/examples/"):
        return openapi()["components"]["examples"][place]["value"]
    return example["value"]


def test_a_reader_sees_first_how_an_order_is_placed() -> None:
    first, *_ = (one for _, _, one in OPERATIONS if one["tags"] == ["orders"])
    assert (first["operationId"], first["summary"]) == ("placeOrder", "Place an order")


def test_the_examples_of_requests_are_orders_in_every_dialect() -> None:
    body = operation("placeOrder")["requestBody"]

    assert body["required"]
    shown = body["content"]["application/json"]["examples"]
    assert {f"Dialect{name}" for name in "ABCDE"} < {name.replace(" ", "") for name in shown}
    read = [ORDER_REQUEST.read(parse_json(json.dumps(one["value"]))) for one in shown.values()]
    assert any(request.constraints for request in read)
    assert {path for path, _, _ in DIALECTS.values()} <= set(declared.ENTRIES)


@pytest.mark.parametrize(
    "sent",
    [
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": True},
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1,5"},
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": []},
        {"tokenIn": 1, "tokenOut": "USDC", "amountIn": "1"},
        {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1", "price": "1"},
        [],
    ],
)
def test_what_has_not_the_shape_of_an_order_is_refused(sent: Any) -> None:
    assert not has_shape(sent, "OrderRequest")
    with pytest.raises(InvalidOrder):
        ORDER_REQUEST.read(sent)


def test_words_in_the_schema_are_the_words_of_the_code() -> None:
    assert SCHEMAS["Status"]["enum"] == list(Status)
    assert SCHEMAS["FailureCode"]["enum"] == FailureCode.values
    assert SCHEMAS["Venue"]["enum"] == list(LABELS)
    assert SCHEMAS["RequestedOrder"]["properties"]["side"]["enum"] == list(Side)
    assert SCHEMAS["ProblemCode"]["enum"] == [one.code for one in problem_codes()]
    assert list(SCHEMAS["OrderRequest"]["properties"]) == list(ORDER_REQUEST.fields)
    given = {one["name"] for one in operation("listOrders")["parameters"]}
    assert given == {*OrderFilter.base_filters, "limit", "cursor", "offset"}


@pytest.mark.usefixtures("engine_loop")
async def test_answers_have_the_shapes_that_are_promised() -> None:
    accepted = await post("/api/orders/execute", SELL_SOL)
    assert_promised(accepted, "placeOrder")
    headers = operation("placeOrder")["responses"]["201"]["headers"]

    assert {name.lower() for name in headers} <= set(accepted.headers)
    order_id = accepted.json["orderId"]
    for path in ENTRY_PATHS:
        assert_promised(await get(f"/{path}"), "listOrders")
    for status in (Status.ROUTING, Status.CANCELLED):
        assert_promised(await get(f"/api/orders/{order_id}"), "getOrder")
        if status is Status.ROUTING:
            await Walker(order_id).walk(status)
            assert_promised(await request("POST", f"/api/orders/{order_id}/cancel"), "cancelOrder")
    assert_promised(await get(f"/api/orders/{order_id}/events"), "getOrderEvents")
    assert_promised(await get(f"/api/orders/{order_id}/route"), "getOrderRoute")
    confirmed, failed = await submit(), await submit()
    await confirm(confirmed)
    await Walker(failed).walk(Status.ROUTING, Status.FAILED)
    for one in (confirmed, failed):
        assert_promised(await get(f"/api/orders/{one}"), "getOrder")
    assert_promised(await get("/health"), "getHealth")


@pytest.mark.usefixtures("engine_loop")
async def test_errors_have_the_shapes_that_are_promised() -> None:
    order_id = await submit()
    await confirm(order_id)
    large = b"x" * 70_000
    for answer, name in [
        (await post("/api/orders/execute", {}), "placeOrder"),
        (await post("/api/orders/execute", b"{"), "placeOrder"),
        (await post("/api/orders/execute", large), "placeOrder"),
        (await post("/api/orders/execute", SELL_SOL, content_type="text/plain"), "placeOrder"),
        (await post("/api/orders/execute", SELL_SOL, accept="text/css"), "placeOrder"),
        (await get("/api/orders?status=x"), "listOrders"),
        (await get("/api/orders?cursor=x"), "listOrders"),
        (await get("/api/orders/1"), "getOrder"),
        (await get(f"/api/orders/{order_id}?x=1"), "getOrder"),
        (await get("/api/orders/1/events"), "getOrderEvents"),
        (await get("/api/orders/1/route"), "getOrderRoute"),
        (await get(f"/api/orders/{order_id}/route?x=1"), "getOrderRoute"),
        (await get(f"/api/orders/{order_id}/events?after=x"), "getOrderEvents"),
        (await request("POST", f"/api/orders/{order_id}/cancel"), "cancelOrder"),
        (await request("POST", "/api/orders/1/cancel"), "cancelOrder"),
    ]:
        assert answer.status >= 400
        assert_promised(answer, name)
    with database_away():
        assert_promised(await post("/api/orders/execute", SELL_SOL), "placeOrder")
        assert_promised(await get("/api/orders"), "listOrders")
        assert_promised(await get("/health"), "getHealth")


async def test_the_schema_is_served_as_json_and_as_yaml() -> None:
    plain = await get("/api/schema")

    assert plain.headers["content-type"] == "application/json"
    assert plain.json["openapi"].startswith("3.1")
    for answer in (
        await get("/api/schema/?format=yaml"),
        await get("/api/schema", accept="application/yaml"),
    ):
        assert (
            "yaml" in answer.headers["content-type"] or "openapi" in answer.headers["content-type"]
        )
        assert yaml.safe_load(answer.text) == plain.json
    assert plain.json == yaml.safe_load(COMMITTED.read_text())


async def test_swagger_loads_nothing_from_elsewhere_and_has_nothing_inline() -> None:
    page = await get("/api/docs", accept="text/html")

    assert page.status == 200
    for foreign in ("http://", "https://", "<style", "style="):
        assert foreign not in page.text
    assert page.text.count("<script") == page.text.count("<script src=")
    script = await get("/api/docs?script=")
    assert script.headers["content-type"].startswith("application/javascript")
    assert "/api/schema" in script.text


def test_requests_that_are_the_first_at_once_get_one_schema() -> None:
    declared._generate.cache_clear()
    ready = threading.Barrier(8)

    def first() -> object:
        ready.wait()
        return openapi()

    with ThreadPoolExecutor(8) as threads:
        found = [one.result() for one in [threads.submit(first) for _ in range(8)]]
    assert {id(one) for one in found} == {id(openapi())}
