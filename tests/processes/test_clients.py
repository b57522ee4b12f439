"""What clients use, on a real engine: the command line, Postman, a .http file, the sockets."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import websockets

from config.environment.data_folder import PROJECT
from orders.api.filters import OrderFilter
from orders.api.pagination import DEFAULT_LIMIT, FIELDS, LOOKED_AT, MAX_LIMIT
from orders.api.quote_views import QUOTE_FIELDS
from orders.urls import entry_paths
from tests.support.engine import PATIENCE, Engine, Web, wait_for, whole_engine
from tests.support.recipes import Cook, Recipe, http_file, postman
from tests.support.shapes import assert_told, name_of
from tests.support.transcripts import transcript

COLLECTION = PROJECT / "docs/postman/order-execution-engine.postman_collection.json"
HTTP_FILE = PROJECT / "docs/requests.http"
GUIDE = (PROJECT / "docs/api.md").read_text()
WAY = ["pending", "routing", "building", "submitted", "confirmed"]


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with whole_engine(process_database, tmp_path_factory.mktemp("clients")) as found:
        yield found


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    return running.web()


def as_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def steps(text: str) -> list[str]:
    """Return the statuses of the lines that tell of events."""
    return [line.split()[2] for line in text.splitlines() if line.split()[1:2] == ["s"]]


def test_an_order_is_placed_and_watched_from_the_command_line(running: Engine) -> None:
    ended = running.command("place_order", "sell", "1.5", "SOL/USDC", "--watch")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Order ")
    assert steps(ended.stdout) == WAY
    assert ended.stderr == ""


def test_the_command_line_speaks_json_in_the_words_of_the_api(running: Engine, web: Web) -> None:
    ended = running.command(
        *("place_order", "buy", "2", "SOL/USDC", "--out", "--slippage-bps", "50"),
        *("--watch", "--json"),
    )
    assert ended.returncode == 0, ended.stderr
    order, *events = as_lines(ended.stdout)
    assert (order["side"], order["amountOut"], order["slippageBps"]) == ("buy", "2", 50)
    assert [event["status"] for event in events] == WAY
    shown = web.request(f"/api/orders/{order['orderId']}/events").body["events"]
    assert events == shown

    again = running.command("watch_order", order["orderId"], "--after", "3", "--json")
    assert again.returncode == 0
    assert as_lines(again.stdout) == shown[3:]
    assert running.command("watch_order", order["orderId"], "--after", "99").returncode == 0


def test_an_order_is_limited_from_the_command_line(running: Engine, web: Web) -> None:
    ended = running.command(
        *("place_order", "sell", "1.5", "SOL/USDC", "--watch", "--json", "--exclude-venue=meteora"),
        *("--venue=meteora", "--venue", "Raydium", "--max-price-impact-bps", "50"),
    )
    assert ended.returncode == 0, ended.stderr
    order, *_ = as_lines(ended.stdout)
    assert (order["venues"], order["excludeVenues"]) == (["meteora", "raydium"], ["meteora"])
    assert order["maxPriceImpactBps"] == 50
    route = web.request(f"/api/orders/{order['orderId']}/route").body["route"]
    assert route["selectedDex"] == "raydium"
    assert [(one["dex"], one["code"]) for one in route["dropped"]] == [("meteora", "excluded")]

    ended = running.command(
        *("place_order", "sell", "1000", "SOL/USDC", "--watch", "--max-price-impact-bps", "0")
    )
    assert ended.returncode == 1
    assert steps(ended.stdout).count("failed") == 1
    assert "bps is above 0 bps" not in ended.stderr
    assert "is failed." in ended.stderr


def test_an_order_is_placed_without_waiting_for_it(running: Engine) -> None:
    ended = running.command("place_order", "sell", "1", "JUP/USDC", "--json")

    assert ended.returncode == 0
    (order,) = as_lines(ended.stdout)
    watched = running.command("watch_order", order["orderId"])
    assert watched.returncode == 0
    assert steps(watched.stdout) == WAY


def test_arguments_that_are_missing_and_orders_that_are_not_there_are_bad_input(
    running: Engine,
) -> None:
    assert running.command("place_order", "sell").returncode == 2
    order_id = "00000000-0000-7000-8000-000000000000"
    ended = running.command("watch_order", order_id)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"There is no order {order_id}." in ended.stderr


def test_commands_without_a_database_say_so(running: Engine) -> None:
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/no"}
    for arguments in (
        ("place_order", "sell", "1", "SOL/USDC"),
        ("watch_order", "00000000-0000-7000-8000-000000000000"),
        ("status",),
    ):
        ended = running.command(*arguments, **nowhere)
        assert ended.returncode == 3, arguments
        assert "The database does not answer." in ended.stderr
        assert "Traceback" not in ended.stderr


def test_orders_are_placed_and_watched_without_redis(running: Engine) -> None:
    ended = running.command(
        *("place_order", "sell", "1", "SOL/USDC", "--watch"), REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert ended.returncode == 0, ended.stderr
    assert steps(ended.stdout) == WAY


def test_the_status_command_tells_how_the_engine_stands(running: Engine) -> None:
    running.command("place_order", "sell", "1.5", "SOL/USDC", "--watch")
    ended = running.command("status", "--json", ORDER_RATE_LIMIT="100/m")

    assert ended.returncode == 0, ended.stderr
    (found,) = as_lines(ended.stdout)
    assert (found["status"], found["workers"], found["inFlight"]) == ("ok", 1, 0)
    assert (found["waiting"], found["oldestWaitingSeconds"]) == (0, None)
    assert found["budget"] == 100  # the worker of this test is not limited, so it counts nothing
    assert found["lastHour"] == {**dict.fromkeys(found["lastHour"], 0), **running.statuses()}
    for_people = running.command("status")
    assert "health      ok (database ok, redis ok, worker ok)" in for_people.stdout
    assert "budget      unlimited" in for_people.stdout


def test_every_command_of_the_guide_does_what_it_says(running: Engine, web: Web) -> None:
    shown = re.findall(r"^\.venv/bin/python manage\.py (.*)$", GUIDE, re.MULTILINE)
    writing = ("spectacular ", "describe_api")
    commands = [shlex.split(line) for line in shown if not line.startswith(writing)]

    assert {words[0] for words in commands} == {"place_order", "watch_order", "status"}
    order_id = web.post()
    for words in commands:
        ended = running.command(*(order_id if word == "ORDER_ID" else word for word in words))
        assert ended.returncode == 0, (words, ended.stderr)


def test_the_list_of_the_guide_is_a_list_and_its_table_has_every_parameter(web: Web) -> None:
    (path,) = re.findall(r"curl -s 'http://127\.0\.0\.1:8000(\S+)'", GUIDE)

    assert set(web.request(path).body) == {"next", "previous", "results", "orders"}
    table = GUIDE.partition("| parameter |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert set(named) == {*OrderFilter.base_filters, *FIELDS, "offset"}
    assert f"{LOOKED_AT:,}" in GUIDE
    assert f"1 to {MAX_LIMIT}, {DEFAULT_LIMIT} if left out" in GUIDE


def test_every_request_of_the_postman_collection_is_answered_as_it_says(web: Web) -> None:
    recipes, variables = postman(COLLECTION)

    assert variables == {"baseUrl": "http://127.0.0.1:8000"}
    cook = Cook({"baseUrl": f"http://{web.address}"})
    for recipe in recipes:
        assert_answered(cook, recipe)
    five = {cook.variables[f"orderId{number}"] for number in range(1, 6)}
    assert len(five) == 5
    wait_for(lambda: statuses_of(web, five) == {"confirmed"}, what="the five are confirmed")


def test_every_request_of_the_http_file_is_answered_as_it_says(web: Web) -> None:
    recipes, _ = http_file(HTTP_FILE)
    cook = Cook({"baseUrl": f"http://{web.address}"})
    for recipe in recipes:
        assert_answered(cook, recipe)


def test_newman_runs_the_postman_collection(web: Web) -> None:
    newman = shutil.which("newman")
    if newman is None:
        pytest.skip(
            "No newman on PATH (`npm install --global newman`): the test above reads the file"
        )
    ended = subprocess.run(
        [newman, "run", str(COLLECTION), "--env-var", f"baseUrl=http://{web.address}"],
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("read", [lambda: postman(COLLECTION), lambda: http_file(HTTP_FILE)])
def test_the_files_of_requests_show_all_that_the_api_can_do(read: Any) -> None:
    recipes, _ = read()
    paths = {recipe.url.removeprefix("{{baseUrl}}").partition("?")[0] for recipe in recipes}

    assert {"/health", "/api/orders"} < paths
    assert {f"/{name}" for name in ("orders", "orders/execute", "execute")} < paths
    ends = {path.rpartition("/")[2] for path in paths}
    assert {"events", "route", "cancel"} < ends
    taken = [json.loads(one.body) for one in recipes if one.body and one.statuses == {201}]
    assert any({"venues", "maxPriceImpactBps"} <= set(order) for order in taken)
    assert all(recipe.statuses for recipe in recipes)
    assert {400, 404} < {code for recipe in recipes for code in recipe.statuses}
    several = {f"/api/orders/{word}" for word in ("preview", "batch", "cancel", "cancel-all")}
    assert several | {"/api/quotes"} < paths
    assert "replace" in ends
    assert "PATCH" in {recipe.method for recipe in recipes}
    for recipe in recipes:
        path = recipe.url.removeprefix("{{baseUrl}}")
        if recipe.method == "POST" and not (path.endswith("}}/cancel")):
            assert path in {*entry_paths(), *several} or path.endswith("}}/replace")
            assert recipe.body
        for name in _parameters(recipe.url):
            known = {*OrderFilter.base_filters, *QUOTE_FIELDS, "limit", "cursor", "after"}
            known |= {"from", "to", "step"}
            assert name in known or recipe.statuses == {400}


def test_what_places_an_order_in_postman_saves_its_id() -> None:
    for recipe in postman(COLLECTION)[0]:
        assert ("orderId" in recipe.saves) == (recipe.statuses == {201})


def assert_answered(cook: Cook, recipe: Recipe) -> None:
    status, body = cook.send(recipe)
    assert status in recipe.statuses, (recipe.name, status, body)
    if recipe.error:
        assert body["error"] == recipe.error, recipe.name


def statuses_of(web: Web, ids: set[str]) -> set[str]:
    return {web.request(f"/api/orders/{order_id}").body["status"] for order_id in ids}


def _parameters(url: str) -> list[str]:
    query = url.partition("?")[2]
    return [pair.partition("=")[0] for pair in query.split("&") if pair]


async def test_streams_of_executed_orders_tell_what_is_promised(web: Web) -> None:
    order_id = await asyncio.to_thread(web.post)
    messages = await transcript(web.stream_url(order_id))

    assert [message["status"] for message in messages] == WAY
    assert_told(messages, "orderStream")
    followed = await transcript(f"ws://{web.address}/execute?orderId={order_id}")
    assert [message["status"] for message in followed] == ["connected", *WAY]
    assert_told(followed, "orderEntry")


async def test_orders_of_every_kind_sent_as_frames_tell_what_is_promised(web: Web) -> None:
    messages = await transcript(
        f"ws://{web.address}/api/orders/execute",
        {"side": "buy", "amountOut": "2"},
        {"tokenIn": "SOL", "tokenOut": "BONK", "amount": 0.5},
        {
            "action": "execute",
            "order": {"baseToken": "JUP", "quoteToken": "SOL", "side": "sell", "amountOut": "0.25"},
        },
        {"action": "dance"},
    )
    assert_told(messages, "orderEntry")

    assert [message.get("status") for message in messages].count("confirmed") == 3
    assert [message["error"] for message in messages if name_of(message) == "error"] == [
        "unknown_action"
    ]


# Orders that wait


def test_a_limit_is_placed_and_watched_until_its_price_comes(running: Engine) -> None:
    ended = running.command(
        *("place_order", "sell", "1.5", "SOL/USDC", "--type", "limit", "--limit-price", "50"),
        *("--tag", "desk=2", "--watch"),
    )
    assert ended.returncode == 0, ended.stderr
    assert steps(ended.stdout)[-4:] == WAY[1:]
    assert " USDC at " in ended.stdout


def test_an_oco_is_placed_and_both_its_orders_are_watched_until_one_fills(running: Engine) -> None:
    ended = running.command(
        *("place_order", "sell", "1.5", "SOL/USDC", "--type=oco", "--watch"),
        *("--take-profit=50", "--stop-loss-trail-bps=5000"),
    )
    assert ended.returncode == 0, ended.stderr
    placed = re.findall(r"^Order ([0-9a-f-]{36}) \((\w+)\): ", ended.stdout, re.MULTILINE)
    assert [role for _, role in placed] == ["takeProfit", "stopLoss"]
    assert len(set(placed)) == 2
    told = re.findall(r"^ *[0-9.]+ s  (\w+) +(\w+)", ended.stdout, re.MULTILINE)
    assert [status for role, status in told if role == "takeProfit"][-1] == "confirmed"
    assert [status for role, status in told if role == "stopLoss"][-1] == "cancelled"


def test_an_oco_of_which_neither_fills_is_no_success(running: Engine) -> None:
    ended = running.command(
        *("place_order", "sell", "1.5", "SOL/USDC", "--type=oco", "--watch", "--json"),
        *("--take-profit=500", "--stop-loss-trail-bps=5000", "--expires-in=2"),
    )
    assert ended.returncode == 1
    assert len(re.findall(r"Order [0-9a-f-]{36} is (?:expired|cancelled)", ended.stderr)) == 2
    orders = as_lines(ended.stdout)[:2]
    assert len({order["groupId"] for order in orders}) == 1


def test_an_oco_of_one_exit_is_refused_on_the_command_line_too(running: Engine) -> None:
    ended = running.command(
        *("place_order", "sell", "1.5", "SOL/USDC", "--type=oco", "--take-profit=500")
    )
    assert ended.returncode == 2
    assert "stopLoss: " in ended.stderr


def test_what_an_order_waits_for_is_told_in_plain_words_until_it_ends(running: Engine) -> None:
    placed = running.command(
        *("place_order", "sell", "1.5", "SOL/USDC", "--type=limit", "--limit-price=500"),
        *("--expires-in", "4", "--json"),
    )
    assert placed.returncode == 0, placed.stderr
    (order,) = as_lines(placed.stdout)
    ended = running.command("watch_order", order["orderId"])

    assert steps(ended.stdout) == ["open", "expired"]
    assert re.search(
        r"It waits until the bid is at or above 500\. "
        r"(Now it is \d+\.\d+, \d+\.\d bps away|There is no bid now)\. It ends at 20",
        ended.stdout,
    )
    assert ended.returncode == 1
    assert f"Order {order['orderId']} is expired" in ended.stderr


def test_a_field_that_a_type_has_no_use_for_is_refused_on_the_command_line_too(
    running: Engine,
) -> None:
    ended = running.command(
        *("place_order", "sell", "1", "SOL/USDC", "--type", "limit", "--limit-price", "500"),
        *("--trail-bps", "100"),
    )
    assert ended.returncode == 2
    assert "trailBps: Orders of type limit have no use for it." in ended.stderr


@pytest.mark.parametrize("options", [{}, {"compression": None}], ids=["compressed", "plain"])
async def test_prices_are_told_over_a_real_socket(web: Web, options: dict[str, Any]) -> None:
    web.post()  # there are pools, so there are ticks
    place = f"ws://{web.address}/ws/prices?market=SOL/USDC"
    async with (
        asyncio.timeout(PATIENCE),
        websockets.connect(place, proxy=None, **options) as socket,
    ):
        frames = [json.loads(await socket.recv()) for _ in range(3)]
    assert {frame["market"] for frame in frames} == {"SOL/USDC"}
    times = [frame["at"] for frame in frames]
    assert times == sorted(set(times))
