"""The admin shows everything of an order, changes nothing by itself, and acts through the doors."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orders.engine.bell import QUEUE
from orders.models import Heartbeat, Order, OrderEvent, OrderTransaction
from routing.models import NetworkTransaction

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
LIST = reverse("admin:orders_order_changelist")


def make_order(**columns: object) -> Order:
    found = {
        **{"side": "sell", "base": "SOL", "quote": "USDC"},
        **{"amount_in": 1_500_000_000, "slippage_bps": 100, **columns},
    }
    return Order.objects.create(**found)


def make_owner() -> User:
    return User.objects.create(username="owner")


def make_confirmed_order() -> Order:
    order = make_order(
        **{"status": "confirmed", "finished_at": NOW, "venue": "meteora", "attempts": 1},
        **{"signature": "5" * 64, "min_out": 148_425_304},
        **{"filled_in": 1_500_000_000, "filled_out": 149_924_550},
    )
    OrderEvent.objects.create(
        **{"order": order, "seq": 1, "status": "confirmed", "attempt": 1, "at": NOW},
        **{"message": "Order executed <b>well</b>", "data": {"note": "<script>"}},
    )
    OrderTransaction.objects.create(
        **{"order": order, "attempt": 1, "signature": "5" * 64, "payload": b"{}"},
        **{"expires_at_height": 77, "created_at": NOW, "outcome": "landed", "settled_at": NOW},
    )
    return order


def act(client: Client, action: str, *orders: Order) -> str:
    """Tick the orders, choose the action, and say yes. Return the list that answers."""
    chosen = {"action": action, "_selected_action": [str(order.pk) for order in orders]}
    question = client.post(LIST, chosen).content.decode()
    assert "Yes, " in question
    answer = client.post(LIST, {**chosen, "confirmed": "yes"}, follow=True)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def page_of(order: Order) -> str:
    return reverse("admin:orders_order_change", args=[order.pk])


def test_the_list_shows_orders_with_their_price(admin_client: Client) -> None:
    order = make_confirmed_order()
    page = admin_client.get(LIST).content.decode()
    for text in (str(order.pk), "SOL/USDC", "sell", "confirmed", "meteora", "99.949700"):
        assert text in page


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("status=confirmed", True),
        ("status=pending", False),
        ("side=sell", True),
        ("side=buy", False),
        ("venue=meteora", True),
        ("venue=raydium", False),
        ("market=SOL/USDC", True),
        ("market=JUP/USDC", False),
        ("type=market", True),
        ("attempts=1", True),
        ("attempts=2", False),
        ("attempts=3", False),
        ("failure_code=slippage_exceeded", False),
        ("status=under_way", False),
        ("status=failed", False),
        ("lease=expired", False),
        ("created=hour", True),
        ("created_from=2020-01-01T00:00:00", True),
        ("created_until=2020-01-01T00:00:00", False),
        ("created_at__year=2020", False),
        ("attention=no", True),
        ("attention=yes", False),
    ],
)
def test_the_list_can_be_filtered(admin_client: Client, query: str, is_found: bool) -> None:
    order = make_confirmed_order()
    page = admin_client.get(f"{LIST}?{query}", follow=True).content.decode()
    assert (str(order.pk) in page) is is_found


@pytest.mark.parametrize(
    ("columns", "query"),
    [
        ({"status": "pending"}, "status=pending"),
        ({"status": "pending", "started_at": NOW}, "status=pending"),
        ({"status": "routing", "started_at": NOW}, "status=under_way"),
        ({"status": "routing", "started_at": NOW}, "status=routing"),
        ({"status": "routing", "started_at": NOW, "lease_until": PAST}, "lease=expired"),
        ({"attempts": 4}, "attempts=3"),
        ({"base": "JUP", "quote": "WSOL"}, "market=JUP/SOL"),
        ({"needs_attention": True}, "attention=yes"),
        (
            {"status": "failed", "finished_at": NOW, "failure_code": "never_landed"},
            "status=failed&failure_code=never_landed",
        ),
    ],
)
def test_what_a_filter_names_is_found(
    admin_client: Client, columns: dict[str, object], query: str
) -> None:
    wanted, other = make_order(**columns), make_confirmed_order()
    page = admin_client.get(f"{LIST}?{query}").content.decode()
    assert page_of(wanted) in page
    assert page_of(other) not in page


@pytest.mark.parametrize(
    "query", ["status=nonsense", "created=nonsense", "created_from=soon", "created_at__year=x"]
)
def test_a_filter_that_makes_no_sense_is_no_fault(admin_client: Client, query: str) -> None:
    answer = admin_client.get(f"{LIST}?{query}")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{LIST}?e=1")


def test_an_order_is_found_by_its_id_a_signature_and_the_clients_name(
    admin_client: Client,
) -> None:
    order, other = make_confirmed_order(), make_order(client_order_id="mine-1", owner=make_owner())
    for term, found, hidden in [
        (str(order.pk), order, other),
        ("5" * 64, order, other),
        ("mine-1", other, order),
    ]:
        page = admin_client.get(LIST, {"q": term}).content.decode()
        assert page_of(found) in page
        assert page_of(hidden) not in page

    assert page_of(order) not in admin_client.get(LIST, {"q": "nothing"}).content.decode()


def test_what_is_shown_of_an_id_is_found(admin_client: Client) -> None:
    order, other = make_confirmed_order(), make_order()
    page = admin_client.get(LIST).content.decode()
    assert f">…{str(order.pk)[-8:]}<" in page
    transactions = reverse("admin:orders_transactionbysignature_changelist")
    for length in (6, 8, 12, 20):
        for term in (str(order.pk)[-length:], f"…{str(order.pk)[-length:].upper()}"):
            page = admin_client.get(LIST, {"q": term}).content.decode()
            assert page_of(order) in page
            assert page_of(other) not in page
            assert "5" * 64 in admin_client.get(transactions, {"q": term}).content.decode()
    assert page_of(order) not in admin_client.get(LIST, {"q": str(order.pk)[-5:]}).content.decode()


def test_the_list_names_accounts_and_is_filtered_by_them(admin_client: Client) -> None:
    grace = User.objects.create(username="grace")
    hers, nobodys = make_order(owner=grace), make_order()
    page = admin_client.get(LIST, {"owner": grace.pk}).content.decode()
    assert '<td class="field-account">grace</td>' in page
    assert page_of(hers) in page
    assert page_of(nobodys) not in page
    page = admin_client.get(LIST, {"owner": "none"}).content.decode()
    assert page_of(nobodys) in page
    assert page_of(hers) not in page
    assert admin_client.get(LIST, {"owner": "0"}).headers["Location"] == f"{LIST}?e=1"


def test_an_account_that_is_no_choice_can_be_named(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.admin_pages.filters.MOST_ACCOUNTS", 0)
    hers = make_order(owner=User.objects.create(username="grace"))
    page = admin_client.get(LIST, {"owner": hers.owner_id}).content.decode()
    assert page_of(hers) in page


def test_the_saved_filters_lead_to_lists(admin_client: Client) -> None:
    page = admin_client.get(LIST).content.decode()
    nav = re.search(r'<nav class="saved".*?</nav>', page, re.DOTALL)
    assert nav
    urls = re.findall(r'href="([^"]+)"', nav[0])
    assert len(urls) == 7
    for url in urls:
        assert admin_client.get(url.replace("&amp;", "&")).status_code == 200


def test_digits_are_grouped(admin_client: Client) -> None:
    order = make_order(amount_in=500_000 * 10**9)
    for url in (LIST, page_of(order)):
        assert "Sell 500,000 SOL for USDC" in admin_client.get(url).content.decode()


def test_a_dead_process_does_not_look_alive(admin_client: Client) -> None:
    counts = {
        **{"up_seconds": 268_000, "cpu_percent": 41.4, "resident_memory_bytes": 88_000_000},
        **{"release": "c1c6b37", "orders_carried": 12, "orders_put_down": 8},
    }
    for name, seconds in (("core-1:1", 1), ("core-2:2", 14)):
        seen_at = timezone.now() - timedelta(seconds=seconds)
        Heartbeat.objects.create(process=name, kind="worker", seen_at=seen_at, counts=counts)
    changelist = reverse("admin:orders_heartbeat_changelist")
    page = " ".join(admin_client.get(changelist).content.decode().split())

    assert "<h1>Processes</h1>" in page
    silent, alive = page.index("core-2:2"), page.index("core-1:1")
    assert silent < alive
    assert ">silent<" in page[silent:alive]
    assert ">14 s ago<" in page[silent:alive]
    for text in (">alive<", ">3 d 2 h<", ">41 %<", ">88 MB<", ">c1c6b37<", ">4/10 orders<"):
        assert text in page[alive:]
    assert (
        admin_client.get(reverse("admin:orders_heartbeat_change", args=["core-2:2"])).status_code
        == 200
    )


def test_all_times_are_of_one_clock(admin_client: Client) -> None:
    user = User.objects.get(username="admin")
    User.objects.filter(pk=user.pk).update(last_login=datetime(2026, 3, 5, 21, 7, 9, tzinfo=UTC))
    page = admin_client.get(reverse("admin:auth_user_change", args=[user.pk])).content.decode()
    assert "2026-03-05" in page
    assert "p.m." not in page


def test_an_orders_page_shows_its_log_and_transactions_escaped(admin_client: Client) -> None:
    page = admin_client.get(page_of(make_confirmed_order())).content.decode()
    for text in ("Order executed &lt;b&gt;well", "&lt;script&gt;", "5" * 64, "landed", "77"):
        assert text in page

    assert "1.5 SOL in" in page
    assert "at least 148.425304 USDC" in page
    assert "1.5 SOL → 149.92455 USDC" in page


def test_a_young_order_has_a_page_too(admin_client: Client) -> None:
    young = make_order(amount_in=None, amount_out=5_000_000)
    assert "5 USDC out" in admin_client.get(page_of(young)).content.decode()
    bound = make_order(amount_in=None, amount_out=5_000_000, max_in=51_000_000)
    assert "at most 0.051 SOL" in admin_client.get(page_of(bound)).content.decode()


def test_no_form_adds_changes_or_deletes_an_order(admin_client: Client) -> None:
    order = make_order()

    assert admin_client.get(reverse("admin:orders_order_add")).status_code == 403
    assert admin_client.post(page_of(order), {"status": "confirmed"}).status_code == 403
    delete = reverse("admin:orders_order_delete", args=[order.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    order.refresh_from_db()
    assert order.status == "pending"


def test_an_operator_cancels_an_order_and_the_admin_remembers_who(admin_client: Client) -> None:
    order = make_order()

    assert "Cancel: 1 cancelled." in act(admin_client, "cancel", order)
    order.refresh_from_db()
    assert order.status == "cancelled"
    assert [event.status for event in order.events.all()] == ["cancelled"]
    assert LogEntry.objects.get().object_id == str(order.pk)


def test_an_order_that_may_have_filled_is_not_cancelled(admin_client: Client) -> None:
    order = make_order(status="submitted", signature="5" * 64)
    page = act(admin_client, "cancel", order, make_order())

    assert "1 cancelled" in page
    assert "1 may have filled, and were left alone" in page
    order.refresh_from_db()
    assert order.status == "submitted"


def test_an_operator_asks_for_an_order_to_be_executed_now(
    admin_client: Client, redis_client: redis.Redis
) -> None:
    order, ended = make_order(), make_confirmed_order()
    page = act(admin_client, "retry_now", order, ended)

    assert "1 asked for now" in page
    assert "1 had ended" in page
    assert redis_client.llen(QUEUE) == 1
    assert str(order.pk) in str(redis_client.lindex(QUEUE, 0))


def test_an_operator_is_told_when_redis_does_not_answer(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.engine.bell.ring_for", lambda order_id: False)
    assert "Redis does not answer" in act(admin_client, "retry_now", make_order())


def test_who_may_only_look_has_no_actions(client: Client) -> None:
    user = User.objects.create_user("viewer", password="viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(user)
    order = make_order()

    assert "Retry now" not in client.get(LIST).content.decode()
    client.post(LIST, {"action": "cancel", "_selected_action": [str(order.pk)]})
    order.refresh_from_db()
    assert order.status == "pending"


def test_who_has_moved_on_since_the_page_was_made_is_named_all_the_same(
    admin_client: Client,
) -> None:
    order = make_order(status="submitted", signature="5" * 64, started_at=NOW)
    chosen = {"action": "cancel", "_selected_action": [str(order.pk)], "confirmed": "yes"}
    answer = admin_client.post(f"{LIST}?status=pending", chosen, follow=True)
    assert "1 may have filled" in answer.content.decode()


def test_a_deed_to_many_is_asked_for_first_and_told_in_one_line(admin_client: Client) -> None:
    orders = [make_order(), make_order(), make_confirmed_order()]
    chosen = {"action": "cancel", "_selected_action": [str(order.pk) for order in orders]}
    question = " ".join(admin_client.post(LIST, chosen).content.decode().split())

    assert "Cancel 3 orders?" in question
    assert "<strong>2</strong> can be cancelled" in question
    assert "<strong>1</strong> ended: nothing is done to them" in question
    assert Order.objects.filter(status="cancelled").count() == 0
    page = act(admin_client, "cancel", *orders)
    assert page.count('<li class="success">') == 1
    assert "Cancel: 2 cancelled, 1 had ended." in page


def test_all_that_the_filters_show_are_asked_about_and_exactly_these_are_cancelled(
    admin_client: Client,
) -> None:
    """Orders that come between the question and the answer are not meant."""
    order = make_order()
    everything = {"action": "cancel", "_selected_action": ["x"], "select_across": "1"}
    question = admin_client.post(f"{LIST}?status=pending", everything).content.decode()
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question)
    later = make_order()
    answer = {name: value for name, value in fields if name != "csrfmiddlewaretoken"}
    assert (
        "Cancel: 1 cancelled."
        in admin_client.post(f"{LIST}?status=pending", answer, follow=True).content.decode()
    )

    for one, status in ((order, "cancelled"), (later, "pending")):
        one.refresh_from_db()
        assert one.status == status


def test_one_click_acts_on_a_bounded_number_of_orders(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.admin.orders.MOST_AT_ONCE", 1)
    orders = [make_order(), make_order()]
    everything = {"action": "cancel", "_selected_action": ["x"], "select_across": "1"}
    page = admin_client.post(LIST, everything, follow=True).content.decode()

    assert "Nothing was done: choose at most 1 orders" in page
    for order in orders:
        order.refresh_from_db()
        assert order.status == "pending"


def deed(order: Order, name: str) -> str:
    return reverse(f"admin:orders_order_{name}", args=[order.pk])


def test_an_operator_cancels_from_the_case_file(admin_client: Client) -> None:
    order = make_order()

    assert deed(order, "cancel") in admin_client.get(page_of(order)).content.decode()
    answer = admin_client.post(deed(order, "cancel"), follow=True)
    assert answer.redirect_chain == [(page_of(order), 302)]
    assert f"Order {order.pk} was cancelled" in answer.content.decode()
    assert deed(order, "cancel") not in answer.content.decode()
    assert deed(order, "retry") not in answer.content.decode()


def test_an_operator_retries_from_the_case_file(
    admin_client: Client, redis_client: redis.Redis
) -> None:
    order = make_order(status="submitted", signature="5" * 64, started_at=NOW)
    page = admin_client.get(page_of(order)).content.decode()

    assert deed(order, "retry") in page
    assert deed(order, "cancel") not in page  # it may have filled
    page = admin_client.post(deed(order, "retry"), follow=True).content.decode()
    assert f"A worker was asked to carry order {order.pk} now" in page
    assert str(order.pk) in str(redis_client.lindex(QUEUE, 0))


@pytest.mark.parametrize("name", ["cancel", "retry"])
def test_a_deed_needs_a_form_of_ours_and_the_permission(client: Client, name: str) -> None:
    order = make_order()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(deed(order, name)).status_code == 403
    assert strict.get(deed(order, name)).status_code == 405

    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(viewer)
    assert client.post(deed(order, name)).status_code == 403
    assert deed(order, name) not in client.get(page_of(order)).content.decode()
    client.logout()
    assert "/login/" in client.post(deed(order, name)).headers["Location"]
    order.refresh_from_db()
    assert order.status == "pending"


def test_a_deed_on_no_order_is_not_found(admin_client: Client) -> None:
    url = reverse("admin:orders_order_cancel", args=["018f0000-0000-7000-8000-000000000001"])
    assert admin_client.post(url).status_code == 404


def test_transactions_have_a_list_of_their_own(admin_client: Client) -> None:
    order = make_confirmed_order()
    changelist = reverse("admin:orders_transactionbysignature_changelist")
    for query, is_found in (("", True), ("outcome=landed", True), ("outcome=none", False)):
        page = admin_client.get(f"{changelist}?{query}").content.decode()
        assert (page_of(order) in page) is is_found
    own = reverse("admin:orders_transactionbysignature_change", args=["5" * 64])

    assert "landed" in admin_client.get(own).content.decode()
    assert admin_client.post(own, {"outcome": "expired"}).status_code == 403


def test_venues_are_listed_with_what_they_won(admin_client: Client) -> None:
    make_confirmed_order()
    page = admin_client.get(reverse("admin:venues")).content.decode()
    raydium, meteora = page[page.index("Raydium") :], page[page.index("Meteora") :]

    assert "30 bps" in raydium
    assert "20 bps" in meteora
    assert f'href="{LIST}?venue=meteora&amp;created=day">1<' in page
    assert f'href="{LIST}?venue=raydium&amp;created=day">0<' in page
    assert reverse("admin:venues") in admin_client.get(reverse("admin:index")).content.decode()


def test_who_may_not_see_orders_sees_no_figures_of_them(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert client.get(reverse("admin:venues")).status_code == 403
    assert client.get(reverse("admin:orders_order_export", args=["csv"])).status_code == 403


PAGES = (
    *("admin:index", "admin:venues", "admin:orders_order_changelist"),
    *("admin:orders_transactionbysignature_changelist", "admin:orders_heartbeat_changelist"),
)


def test_no_page_has_a_style_or_script_within(admin_client: Client) -> None:
    urls = [*(reverse(name) for name in PAGES), page_of(make_confirmed_order())]
    for url in urls:
        page = admin_client.get(url).content.decode()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*\ssrc=)", page), url


def test_the_ledger_of_the_simulated_network_can_be_seen(admin_client: Client) -> None:
    NetworkTransaction.objects.create(
        **{"signature": "5" * 64, "expires_at_height": 77, "sent_at": NOW, "lands_at": NOW},
        **{"amount_in": 1, "amount_out": 2},
    )
    changelist = reverse("admin:routing_networktransaction_changelist")

    assert "5" * 64 in admin_client.get(changelist).content.decode()
    page = reverse("admin:routing_networktransaction_change", args=["5" * 64])
    assert admin_client.get(page).status_code == 200
    assert admin_client.get(reverse("admin:routing_networktransaction_add")).status_code == 403
