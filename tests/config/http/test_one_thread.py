"""How often a request of the stock way visits its thread."""

from typing import Any

import pytest
from asgiref.sync import SyncToAsync

from tests.support.accounts import make_account
from tests.support.client import get

pytestmark = pytest.mark.usefixtures("engine_loop")


@pytest.mark.parametrize(("path", "visits"), [("/api/markets", 3), ("/api/orders", 4)])
async def test_a_request_visits_a_thread_no_more_often_for_its_middleware(
    path: str, visits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice for Django's signals, once for itself, and once more for a view on the loop."""
    call, made, headers = SyncToAsync.__call__, [], make_account().headers

    async def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        made.append(self.func)
        return await call(self, *arguments, **named)

    monkeypatch.setattr(SyncToAsync, "__call__", counted)
    answer = await get(path, **headers)

    assert (answer.status, len(made)) == (200, visits)
    assert answer.headers["x-frame-options"] == "DENY"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
