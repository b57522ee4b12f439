"""What is said of orders in one place, for Django and for SQL alike."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Q

from orders.lifecycle import IS_BEGUN, IS_WAITING
from orders.models import BEGUN, WAITING, Order

pytestmark = pytest.mark.usefixtures("transactional_db")

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ENDED = {"status": "cancelled", "finished_at": NOW}


def make_order(**columns: Any) -> Order:
    sound = {"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1, "slippage_bps": 100}
    return Order.objects.create(**(sound | columns))


@pytest.mark.parametrize(
    ("condition", "words", "expected"),
    [(WAITING, IS_WAITING, "waiting"), (BEGUN, IS_BEGUN, "begun")],
)
def test_what_waits_and_what_was_begun_is_the_same_in_django_and_in_sql(
    condition: Q, words: str, expected: str
) -> None:
    made = {
        "waiting": make_order(),
        "begun": make_order(started_at=NOW),
        "ended": make_order(started_at=NOW, **ENDED),
        "ended before it began": make_order(**ENDED),
    }

    assert [*Order.objects.filter(condition)] == [made[expected]]
    assert [*Order.objects.extra(where=[words])] == [made[expected]]


def test_an_order_is_visible_to_its_owner_and_an_anonymous_one_to_everybody() -> None:
    alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
    hers, nobodys = make_order(owner=alice), make_order()
    seen = {owner: {*Order.objects.visible_to(owner)} for owner in (alice.pk, bob.pk, None)}
    assert seen == {alice.pk: {hers, nobodys}, bob.pk: {nobodys}, None: {nobodys}}
