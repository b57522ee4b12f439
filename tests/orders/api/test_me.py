"""`GET /api/me`: who a request acts for, and what it may do; never a refusal of a stranger."""

import pytest
from django.conf import settings

from config.runtime.rate import Rate
from tests.support.accounts import make_account
from tests.support.client import get
from tests.support.shapes import assert_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")


async def test_a_key_and_a_session_tell_their_account_and_what_they_may() -> None:
    account, staff = make_account(), make_account(is_staff=True)
    by_key = (await get("/api/me", **account.headers)).json
    by_reading = (await get("/api/me", authorization=f"Bearer {account.reading_key()}")).json
    by_session = (await get("/api/me", **await staff.log_in())).json

    for answer in (by_key, by_reading, by_session):
        assert_shape(answer, "Me")
    assert (by_key["account"], by_key["isStaff"]) == (account.name, False)
    assert by_key["scopes"] == ["read", "trade"]
    assert by_reading["scopes"] == ["read"]
    assert (by_session["account"], by_session["isStaff"]) == (staff.name, True)
    assert by_key["limits"]["openOrders"] == settings.MAX_OPEN_ORDERS


@pytest.mark.parametrize("is_allowed", [True, False])
async def test_a_stranger_is_told_what_strangers_may(
    is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ALLOW_ANONYMOUS_ORDERS", is_allowed)
    monkeypatch.setattr(settings, "ACCOUNT_RATE_LIMIT", Rate(2, 1))
    answer = await get("/api/me")
    assert answer.status == 200
    assert_shape(answer.json, "Me")
    assert (answer.json["account"], answer.json["isStaff"]) == (None, False)
    assert answer.json["mayTradeAnonymously"] is is_allowed
    assert answer.json["scopes"] == (["read", "trade"] if is_allowed else [])
    assert answer.json["limits"]["ordersPerMinute"] == 120
    assert answer.json["limits"]["openOrders"] == 20


async def test_a_key_that_does_not_hold_is_no_stranger() -> None:
    assert (await get("/api/me", authorization="Bearer oee_unknown")).status == 401
