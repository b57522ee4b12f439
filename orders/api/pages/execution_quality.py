"""How well an account's orders were executed, for pages and programs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.authentication import IsAccount, MayAct, principal_of
from orders.access.read_limits import LIST_COST, SEARCH_COST
from orders.api import filters
from orders.api.base_views import ProblemAPIView
from orders.api.reading.fields import refuse
from orders.api.schema import openapi
from orders.events import timestamp
from orders.quality.figures import MOST_ORDERS, as_json, read_groups

WINDOW = re.compile(r"([1-9][0-9]{0,3})([mhd])")
SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
MOST_DAYS = 31
DEFAULT_WINDOW = "24h"
MINE = "mine"


class ExecutionQualityView(ProblemAPIView):
    """How well orders were executed: your own, or all for staff."""

    name = "Execution quality"
    permission_classes = (MayAct, IsAccount)
    read_cost = LIST_COST + SEARCH_COST
    about = "orders/api/quality.html"

    @openapi.EXECUTION_QUALITY
    def get(self, request: Request) -> Response:
        filters.check_names(request, {"window", "whose"})
        window = request.query_params.get("window", DEFAULT_WINDOW)
        length = read_window(window)
        whose = request.query_params.get("whose")
        if whose not in (None, MINE):
            raise refuse("whose", "invalid_choice", f"Not one of {MINE}.")
        owner = principal_of(request).owner
        of_all = request.user.is_staff and whose is None
        now = datetime.now(UTC)
        found: dict[str, Any] = as_json(read_groups(None if of_all else owner, length))
        return Response(
            {
                "window": window,
                "from": timestamp(now - timedelta(seconds=length)),
                "to": timestamp(now),
                "whose": "all" if of_all else MINE,
                "isWhole": found["total"]["orders"] < MOST_ORDERS,
                **found,
            }
        )


def read_window(text: str) -> int:
    """Return how many seconds a text such as 30m, 24h or 7d means.

    :raises ValidationError: it means nothing, or more than MOST_DAYS.
    """
    found = WINDOW.fullmatch(text)
    length = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < length <= MOST_DAYS * SECONDS["d"]:
        said = f"Minutes, hours or days, such as 30m, 24h or 7d; at most {MOST_DAYS}d."
        raise refuse("window", "invalid_time", said)
    return length
