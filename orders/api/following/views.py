"""The paths of an account's events, for the schema and for requests that are no GET.

GETs never come to Django (`door.py`).
"""

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from orders.api.base_views import AsyncAPIView
from orders.api.problems import said_of_path
from orders.api.schema import openapi


class EventStreamView(AsyncAPIView):
    """Every event of every order of the account, as server-sent events."""

    read_cost = 0

    @openapi.STREAM
    async def get(self, request: Request) -> Response:
        raise NotFound(said_of_path(request.path))


class FeedView(AsyncAPIView):
    """Every event of every order of the account, in pages."""

    read_cost = 0

    @openapi.FEED
    async def get(self, request: Request) -> Response:
        raise NotFound(said_of_path(request.path))
