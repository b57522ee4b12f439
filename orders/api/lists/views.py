"""`GET /api/orders.csv`: all orders that a list's filters find, as a table."""

from collections.abc import Sequence

from asgiref.sync import sync_to_async
from django.http.response import HttpResponseBase
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from orders.access.authentication import IsAccount, principal_of
from orders.access.read_limits import cost_of_list
from orders.api import filters, pagination
from orders.api.base_views import AsyncAPIView
from orders.api.lists.export import csv_download
from orders.api.renderers import ProgramsFirst
from orders.api.schema import openapi
from orders.models import Order

PARAMETERS = {*filters.OrderFilter.base_filters, filters.TAG_PARAMETER}


class ErrorsAsJSON(ProgramsFirst):
    """Whatever `Accept` asks for: only errors are rendered."""

    def select_renderer(
        self,
        request: Request,
        renderers: Sequence[BaseRenderer],  # type: ignore[override]
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class OrdersCsvView(AsyncAPIView):
    """All orders of the account that pass the filters (GET), newest first, as a table."""

    content_negotiation_class = ErrorsAsJSON
    permission_classes = (*AsyncAPIView.permission_classes, IsAccount)

    def cost_of(self, request: Request) -> int:
        return cost_of_list(request.query_params.dict() | {"limit": str(pagination.MAX_LIMIT)})

    @openapi.ORDERS_CSV
    async def get(self, request: Request) -> HttpResponseBase:
        return await sync_to_async(exported)(request)


def exported(request: Request) -> HttpResponseBase:
    """:raises ValidationError: a parameter means nothing."""
    filters.check_names(request, PARAMETERS)
    own = Order.objects.filter(owner=principal_of(request).owner)
    wanted = filters.filter_orders(request.query_params, own)
    return csv_download(wanted.orders, wanted.orders if wanted.among is None else wanted.among)
