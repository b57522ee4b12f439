"""The operators' first page tells what happened, and lets a person deal with it in place."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orders.admin_pages.lines import line_of
from orders.models import EngineMinute, Heartbeat, Order, SeenOrder, TradingState
from orders.monitoring.operations import present_operations

pytestmark = pytest.mark.django_db

PAGE, JSON = reverse("admin:index"), reverse("admin:operations")
PANELS = {"verdict", "signals", "flow", "processes", "venues", "person", "happened"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read anew each time. Its own look at the servers does not see a test's transaction."""

    def look() -> dict[str, Any]:
        newest = TradingState.objects.order_by("-id").first()
        well = dict.fromkeys(("status", "database", "redis", "worker"), "ok")
        return well | {"state": newest.state if newest else "active"}

    monkeypatch.setattr("orders.monitoring.health.check_now", look)
    monkeypatch.setattr("orders.monitoring.operations.FRESH_SECONDS", -1.0)


def make_order(**columns: Any) -> Order:
    found = {"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 10**9}
    return Order.objects.create(**found | {"slippage_bps": 100} | columns)


def beat(kind: str, ago: float = 1.0, name: str = "", **counts: Any) -> None:
    seen_at = timezone.now() - timedelta(seconds=ago)
    Heartbeat.objects.create(process=name or f"{kind}:1", kind=kind, seen_at=seen_at, counts=counts)


def beat_all() -> None:
    for kind in ("web", "worker", "scheduler"):
        beat(kind, release="abc1234", up_seconds=60)


def make_minutes(count: int, **figures: Any) -> None:
    last = int(timezone.now().timestamp()) // 60 * 60 - 60
    found = {"accepted": 84, "p50": 2.84, "p95": 3.31, "p99": 6.02, "streams": 212}
    counted = {"confirmed": 82, "failed": 1, "cancelled": 0, "expired": 0, "hints": 1000}
    quotes = {"asked": 100, "answered": 97, "quotes": [[250, 97]]}
    for back in range(count):
        EngineMinute.objects.create(
            minute=last - 60 * back,
            figures=found | counted | {"venues": {"raydium": quotes}} | figures,
        )


def told(client: Client) -> dict[str, Any]:
    answer = client.get(JSON)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def panel(client: Client, name: str) -> str:
    return text_of(told(client)["panels"][name])


def test_the_page_says_without_a_script_what_the_json_says(admin_client: Client) -> None:
    beat_all()
    make_minutes(3)
    page = admin_client.get(PAGE).content.decode()
    found = told(admin_client)

    assert found["panels"].keys() == PANELS
    assert found["verdict"]["title"] == "All well: orders are taken and executed"
    assert found["title"] == "Well · Engine"
    assert "<title>Well · Engine |" in page
    for name in PANELS - {"processes", "happened", "verdict"}:  # whose ages and tokens move on
        assert text_of(found["panels"][name]) in text_of(page)
    assert "as of" in page
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)


def test_the_hour_is_told_in_figures_and_lines(admin_client: Client) -> None:
    beat_all()
    make_minutes(60, refused=1)
    signals = told(admin_client)["panels"]["signals"]
    assert signals.count("<polyline") == 4
    words = text_of(signals)
    assert "Accepted 84 a minute" in words
    assert "60 refused (429) · 0 turned away (503)" in words
    assert "Time to confirm 2.84 s median p95 3.31 s · p99 6.02 s" in words
    assert "Streams 212 open" in words
    assert "60 minutes: 84 to 84 a minute" in signals


def test_a_minute_that_is_missing_is_a_gap_and_no_zero() -> None:
    assert len(line_of([1.0, 2.0, None, 3.0, 4.0], "s").parts) == 2
    assert line_of([None], "s").parts == ()
    assert line_of([5.0, 5.0], "s").label == "2 minutes: 5 to 5 s"
    assert line_of([0.0, 10.0], "s", from_zero=True).parts == ("98.3,36.0 100.0,4.0",)


def test_orders_under_way_are_counted_with_the_oldest(admin_client: Client) -> None:
    beat_all()
    make_order()
    order = make_order(status="routing", started_at=timezone.now(), seq=2)
    event_at = timezone.now() - timedelta(seconds=20)
    order.events.create(seq=2, status="routing", attempt=1, message="", data={}, at=event_at)
    make_order(
        status="pending",
        started_at=timezone.now(),
        next_check=timezone.now() + timedelta(seconds=30),
    )
    words = panel(admin_client, "flow")
    assert "Waiting 1 oldest 0." in words
    assert "Routing 1 oldest 20." in words
    assert re.search(r"Waits for a retry 1 next in (29|30)\.\d s", words)
    assert 'class="hot"' in told(admin_client)["panels"]["flow"]


def test_the_silent_come_first_and_what_is_long_gone_does_not_come(admin_client: Client) -> None:
    beat_all()
    beat("worker", 14.0, "core-2:4183", orders_carried=6, resident_memory_bytes=91_000_000)
    beat("worker", 3600.0, "stopped:1")
    found = told(admin_client)
    rows = re.findall(
        r"<tr class=\"(.*?)\"><th scope=\"row\">(.*?)</th>", found["panels"]["processes"]
    )
    assert rows[0] == ("bad", "worker core-2:4183")
    assert "stopped:1" not in found["panels"]["processes"]
    assert "PostgreSQL" in found["panels"]["processes"]
    assert found["findings"][0] == "EngineWorkerSilent"
    assert found["title"] == "Degraded · Engine"
    assert "worker core-2:4183 fell silent with 6 orders" in panel(admin_client, "happened")


def test_venues_and_failures_are_told_and_lead_to_their_orders(admin_client: Client) -> None:
    beat_all()
    make_minutes(2)
    for ago in (0, 0, 5):
        make_order(
            **{"status": "failed", "failure_code": "slippage_exceeded", "venue": "raydium"},
            **{"finished_at": timezone.now()},
            created_at=timezone.now() - timedelta(hours=ago),
        )
    html = told(admin_client)["panels"]["venues"]
    words = text_of(html)
    assert "Raydium 200 97 % 237 ms 0 2" in words
    assert "slippage exceeded 2 +2" in words
    assert "failure_code=slippage_exceeded&amp;created=hour" in html


def test_what_needs_a_person_is_dealt_with_in_place(admin_client: Client) -> None:
    beat_all()
    order = make_order(needs_attention=True)
    found = told(admin_client)
    assert found["needingAttention"] == [str(order.pk)]
    assert found["findings"] == ["EngineNeedsAPerson"]
    assert "I have seen it" in panel(admin_client, "person")

    answer = admin_client.post(reverse("admin:orders_order_seen", args=[order.pk]))
    assert answer.headers["Location"] == PAGE
    assert SeenOrder.objects.get().seen_by == "admin"
    found = told(admin_client)
    assert (found["needingAttention"], found["findings"]) == ([], [])
    words = panel(admin_client, "person")
    assert "seen by admin" in words
    assert "I have seen it" not in words
    admin_client.post(reverse("admin:orders_order_seen", args=[order.pk]))
    assert SeenOrder.objects.count() == 1
    answer = admin_client.post(
        reverse("admin:orders_order_cancel", args=[order.pk]), {"next": PAGE}
    )
    assert answer.headers["Location"] == PAGE
    assert "admin order" in panel(admin_client, "happened")


def test_trading_is_halted_and_let_go_on_from_the_page(admin_client: Client) -> None:
    beat_all()
    url = reverse("admin:orders_tradingstate_set")
    answer = admin_client.post(url, {"state": "halted", "why": "a venue lies", "next": PAGE})
    assert answer.headers["Location"] == PAGE
    found = told(admin_client)
    assert found["title"] == "Halted · Engine"
    assert "admin halted it (a venue lies)" in found["verdict"]["text"]
    assert "Let trading go on" in found["panels"]["verdict"]
    assert "admin halted trading: a venue lies" in panel(admin_client, "happened")
    admin_client.post(url, {"state": "active", "next": "https://elsewhere.example"})
    assert TradingState.objects.latest("id").state == "active"


def test_another_site_is_no_page_to_go_back_to(admin_client: Client) -> None:
    answer = admin_client.post(
        reverse("admin:orders_tradingstate_set"),
        {"state": "active", "next": "https://elsewhere.example/"},
    )
    assert answer.headers["Location"] == reverse("admin:orders_tradingstate_changelist")


def test_who_may_only_look_has_no_buttons(client: Client) -> None:
    beat_all()
    order = make_order(needs_attention=True)
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(viewer)
    page = client.get(PAGE).content.decode()
    assert "Halt trading" not in page
    assert "I have seen it" not in page
    assert client.post(reverse("admin:orders_order_seen", args=[order.pk])).status_code == 403
    assert client.post(reverse("admin:orders_tradingstate_set"), {}).status_code == 403


def test_who_may_see_no_orders_sees_the_lists_alone(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    page = client.get(PAGE).content.decode()
    assert "Orders under way" not in page
    assert "You may not see any list." in page
    assert client.get(JSON).status_code == 403
    client.logout()
    assert client.get(JSON).status_code == 302


def test_many_open_pages_are_one_reader(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.monitoring.operations.FRESH_SECONDS", 60.0)
    present_operations.forget()
    first, again = told(admin_client), told(admin_client)
    assert first["asOf"] == again["asOf"]
    present_operations.forget()
    assert told(admin_client)["asOf"] != first["asOf"]
    present_operations.forget()


def test_the_lists_come_in_order_of_use(admin_client: Client) -> None:
    page = admin_client.get(PAGE).content.decode()
    lists = page[page.index('id="lists"') :]
    names = re.findall(r'<li><a href="[^"]+">(.*?)</a>', lists)
    assert names[:4] == ["Orders", "Transactions", "Heartbeats", "Trading states"]
    assert names[-2:] == ["Users", "Groups"]
