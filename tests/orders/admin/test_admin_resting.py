"""Operators see what rests, why it has not fired and what belongs to it, and may cancel it."""

import csv
import io
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from orders.admin_pages.case_file import MOST_CHILDREN, case_file
from orders.admin_pages.export import row_of
from orders.admin_pages.waiting import Waiting, waiting_of
from orders.api.lists.export import COLUMNS, cell
from orders.engine.submission import new_order_id
from orders.engine.trading_state import change_trading_state
from orders.models import Order, TradingState
from tests.support.carriers import query, store
from tests.support.resting import HOLD, order_of_type

pytestmark = pytest.mark.usefixtures("transactional_db", "redis_client")

LIST = reverse("admin:orders_order_changelist")
TRADING = reverse("admin:orders_tradingstate_changelist")
SET = reverse("admin:orders_tradingstate_set")
TICK = """
INSERT INTO price_ticks (pair, tick, bid, ask, reference)
SELECT 'SOL/USDC', floor(extract(epoch FROM clock_timestamp()))::bigint - %s, %s, 100.5, 100.2
"""
EVALUATED = """
INSERT INTO pair_progress
SELECT 'SOL/USDC', floor(extract(epoch FROM clock_timestamp()))::bigint
ON CONFLICT (pair) DO UPDATE SET evaluated_tick = excluded.evaluated_tick
"""
LOOKED_AT = "UPDATE watches SET from_tick = from_tick - 10"


@pytest.fixture
def operator(transactional_db: None) -> Client:
    """As pytest-django's `admin_client`, which would flush the database."""
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def resting(type_: str, **changes: Any) -> Order:
    (order_id,) = store(order_of_type(type_, **changes))
    return Order.objects.get(pk=order_id)


def price_is(bid: str | None, seconds_ago: int = 0) -> None:
    query("DELETE FROM price_ticks")
    query(TICK, seconds_ago, bid)
    query(EVALUATED)
    query(LOOKED_AT)


def waiting(order: Order) -> Waiting:
    found = waiting_of(Order.objects.get(pk=order.pk))
    assert found is not None
    return found


def fact(order: Order, label: str) -> str:
    return dict(waiting(order).facts).get(label, "")


# Why it has not fired


def test_an_order_tells_how_far_its_price_is_from_its_trigger() -> None:
    stop, limit = resting("stop", trigger_price="95"), resting("limit", limit_price="112")
    price_is("100")

    assert waiting(stop).why == "The bid has to fall by 500.0 bps, to 95."
    assert fact(stop, "Trigger") == "bid at or below 95"
    assert waiting(limit).why == "The bid has to rise by 1200.0 bps, to 112."
    assert fact(limit, "Distance") == "1200.0 bps"
    assert fact(limit, "Last tick").endswith(" ago")


def test_a_price_that_is_there_says_what_happens_then() -> None:
    stop, limit = resting("stop", trigger_price="105"), resting("limit", limit_price="99")
    price_is("100")

    assert waiting(stop).why == "The price is there: the next evaluation releases it."
    assert "Its whole amount did not net its limit" in waiting(limit).why


def test_without_a_fresh_price_nothing_fires_and_the_page_says_so() -> None:
    stop = resting("stop", trigger_price="95")
    assert waiting(stop).why == "There is no bid, so nothing can reach it."
    price_is(None)
    assert waiting(stop).why == "There is no bid, so nothing can reach it."
    price_is("90", seconds_ago=60)
    assert "An old price triggers nothing." in waiting(stop).why


def test_an_order_is_compared_from_the_first_whole_second_after_its_acceptance() -> None:
    price_is("90")
    stop = resting("stop", trigger_price="95")
    assert "from the first whole second" in waiting(stop).why


def test_a_trailing_stop_tells_its_watermark_and_its_present_trigger() -> None:
    trailing = resting("trailingStop", trail_bps=100)
    price_is("110")
    assert waiting(trailing).why == "Its trail has no watermark yet."
    query(
        "INSERT INTO price_peaks SELECT pair, line, armed_tick + 5, 120 FROM watches"
        " UNION ALL SELECT pair, line, armed_tick + 9, 115 FROM watches"
        " UNION ALL SELECT pair, line, armed_tick - 1, 500 FROM watches"
    )

    assert fact(trailing, "Watermark") == "120"
    assert fact(trailing, "Trigger") == "bid at or below 118.8"
    price_is("119")
    assert waiting(trailing).why == "The bid has to fall by 16.8 bps, to 118.8."


def test_an_order_by_the_reference_is_compared_with_the_reference() -> None:
    stop = resting("stop", trigger_price="95.19", trigger_by="reference")
    price_is("50")
    assert waiting(stop).why == "The reference price has to fall by 500.0 bps, to 95.19."


def test_held_latched_and_halted_orders_say_so() -> None:
    held, latched = resting("stop", trigger_price="95"), resting("stop", trigger_price="95")
    query(HOLD.replace("%(id)s", "%s::uuid"), held.pk, held.pk)
    query("UPDATE watches SET kind = 'c', check_at = now() WHERE order_id = %s", latched.pk)
    query("UPDATE orders SET phase = 'latched' WHERE id = %s", latched.pk)
    price_is("100")

    assert "The other order of its group is on its way." in waiting(held).why
    assert "was triggered and could not be filled. It is released again" in waiting(latched).why
    change_trading_state(TradingState.State.HALTED, "ada")
    assert waiting(held).why == "Trading is halted: nothing triggers."


def test_an_order_that_rests_without_a_watch_is_shown_to_an_operator(operator: Client) -> None:
    order = resting("stop", trigger_price="95")
    query("DELETE FROM watches")
    assert waiting(order).is_bad
    page = operator.get(reverse("admin:orders_order_change", args=[order.pk]))
    assert "Look at this order." in page.content.decode()


# What belongs to it


def test_the_page_of_a_leg_shows_its_terms_its_group_and_why_it_waits(
    operator: Client,
) -> None:
    group = new_order_id()
    limit = resting("limit", limit_price="112", group_id=group, tags={"desk": "a"})
    stop = resting("stop", trigger_price="95", group_id=group)
    price_is("100")
    page = operator.get(reverse("admin:orders_order_change", args=[limit.pk])).content.decode()

    for text in (
        "Why it has not fired",
        "has to rise by 1200.0 bps",
        "other order of its group",
        str(stop.pk),
        "desk a",
        "limitPrice",
        "none: its limit price is the bound",
    ):
        assert text in page, text
    assert "Retry now" not in page


def test_a_parent_and_its_newest_children_are_shown_up_to_a_bound() -> None:
    parent = resting("stop", trigger_price="95")
    children = [
        order_of_type("stop", trigger_price="90", parent_id=str(parent.pk), slice=number)
        for number in range(MOST_CHILDREN + 2)
    ]
    store(*children)
    case = case_file(parent)

    assert len(case.related) == MOST_CHILDREN
    assert case.more_children
    assert case.related[0].role == f"slice {MOST_CHILDREN + 1}"
    child = case_file(case.related[0].order)
    assert [(one.role, one.order.pk) for one in child.related] == [("parent", parent.pk)]


# The list, its filters, its actions and exports


def shown(client: Client, **filters: str) -> set[UUID]:
    answer = client.get(LIST, filters)
    assert answer.status_code == 200
    return {order.pk for order in answer.context["cl"].result_list}


def test_orders_are_filtered_by_type_and_phase(operator: Client) -> None:
    stop, limit = resting("stop", trigger_price="95"), resting("limit", limit_price="112")
    unarmed = resting("trailingStop", trail_bps=100, activation_price="120")

    assert shown(operator, type="stop") == {stop.pk}
    assert shown(operator, phase="unarmed") == {unarmed.pk}
    assert shown(operator, status="open") == {stop.pk, limit.pk, unarmed.pk}
    assert shown(operator, status="open", type="limit") == {limit.pk}
    assert shown(operator, status="under_way") == set()
    assert operator.get(LIST, {"phase": "no"}).status_code == 302


def test_an_operator_cancels_an_order_that_rests_and_the_other_one_of_its_group(
    operator: Client,
) -> None:
    group = new_order_id()
    legs = [
        resting("limit", limit_price="112", group_id=group),
        resting("stop", trigger_price="95", group_id=group),
    ]
    asked = {"action": "cancel", "_selected_action": [str(legs[0].pk)], "confirmed": "yes"}
    page = operator.post(LIST, asked, follow=True).content.decode()

    assert "Cancel: 1 cancelled. 1 more ended with them: the other orders of their groups." in page
    ended = Order.objects.filter(status="cancelled").values_list("pk", "reason")
    assert dict(ended) == {legs[0].pk: "operator", legs[1].pk: "group_cancelled"}
    assert LogEntry.objects.count() == 2
    assert query("SELECT 1 FROM watches") == []


def test_a_retry_of_an_order_that_rests_is_no_deed(operator: Client) -> None:
    order = resting("stop", trigger_price="95")
    url = reverse("admin:orders_order_retry", args=[order.pk])
    page = operator.post(url, follow=True).content.decode()
    assert "rests: a worker carries it once it is released" in page
    assert LogEntry.objects.count() == 0


def test_exports_have_the_terms_and_the_phase(operator: Client) -> None:
    order = resting("stop", trigger_price="95", tags={"desk": "=1+1"})
    row = {name: cell(row_of(order).get(name)) for name in COLUMNS}
    told = io.StringIO()
    csv.writer(told).writerow(row.values())

    assert (row["type"], row["triggerPrice"], row["phase"]) == ("stop", "95", "waiting")
    assert (row["timeInForce"], row["releases"]) == ("gtc", 0)
    assert row["tags"] == '{"desk": "=1+1"}'


# Trading


def test_an_operator_halts_trading_and_lets_it_go_on_and_it_is_kept(operator: Client) -> None:
    page = operator.get(TRADING).content.decode()
    assert "The engine trades." in page
    asked = {"state": "halted", "why": "a bad venue"}
    page = operator.post(SET, asked, follow=True).content.decode()
    assert "Trading is halted" in page
    assert "a bad venue" in page
    assert "Let trading go on" in page
    operator.post(SET, {"state": "active", "why": ""}, follow=True)

    rows = TradingState.objects.order_by("id").values_list("state", "changed_by", "why")
    assert list(rows) == [("halted", "admin", "a bad venue"), ("active", "admin", "")]
    assert LogEntry.objects.count() == 2


def test_who_may_only_look_halts_nothing() -> None:
    client, user = Client(), User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_tradingstate"))
    client.force_login(user)
    assert "Halt trading" not in client.get(TRADING).content.decode()
    assert client.post(SET, {"state": "halted"}).status_code == 403
    assert TradingState.objects.count() == 0


@pytest.mark.parametrize("asked", [{}, {"state": "closed"}, {"state": "halted", "why": "x" * 501}])
def test_a_form_that_says_nothing_of_use_changes_nothing(
    operator: Client, asked: dict[str, str]
) -> None:
    page = operator.post(SET, asked, follow=True).content.decode()
    assert "Nothing was changed" in page
    assert TradingState.objects.count() == 0
    assert operator.get(SET).status_code == 405
