"""What an amount would get, and what an order would do. Nothing is stored."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.authentication import MayRead, tell_of_limit
from orders.access.preview_limits import allowance_of_preview
from orders.api import filters
from orders.api.base_views import AsyncAPIView
from orders.api.changes.senders import Answered, Sender, response
from orders.api.preview import preview, quote_of
from orders.api.problems import TOO_MANY_PREVIEWS, TooManyRequests
from orders.api.reading.parsers import ExactJSONParser
from orders.api.reading.serializers import InvalidOrder, as_written, read_order, translate
from orders.api.schema import openapi
from orders.api.views import refuse_clear_text
from orders.engine.quotes import Quoted
from orders.engine.submission import OrderRequest
from orders.representation import swap_as_json

QUOTE_FIELDS = {
    *("baseToken", "quoteToken", "tokenIn", "tokenOut", "side", "amountIn", "amountOut"),
    *("slippageBps", "slippage", "maxPriceImpactBps", "venues", "excludeVenues"),
}


class QuotesView(AsyncAPIView):
    """What an amount would get now: all quotes, the choice and its reason. Nothing is stored."""

    read_cost = 0
    about = "orders/api/quotes.html"

    @openapi.QUOTES
    async def get(self, request: Request) -> Response:
        filters.check_names(request, QUOTE_FIELDS)
        await admit_preview(Sender.of(request, self.headers))
        asked = await read_quote(request.query_params.dict())
        quoted = await quote_of(asked)
        return Response(quote_as_json(asked, quoted), headers={"Cache-Control": "no-store"})


class PreviewView(AsyncAPIView):
    """What an order would do if it were sent now (POST): the same body, and nothing is stored."""

    parser_classes = (ExactJSONParser,)
    permission_classes = (MayRead,)

    @openapi.PREVIEW
    async def post(self, request: Request) -> Response:
        refuse_clear_text(is_secure=request.is_secure())
        filters.check_names(request, set())
        return response(await preview_order(request.data, Sender.of(request, self.headers)))


async def preview_order(sent: Any, sender: Sender) -> Answered:
    """Say what an order would do if it were sent now.

    :raises TooManyRequests: the sender asks for too many.
    :raises Exception: what `read_order` and `preview` raise.
    """
    await admit_preview(sender)
    meant = translate(sent)
    try:
        asked = await read_order(meant.body)
    except InvalidOrder as refused:
        raise as_written(refused, sent, meant) from None
    told = await preview(asked, sender.principal.owner)
    return Answered(200, told, {"Cache-Control": "no-store"})


async def admit_preview(sender: Sender) -> None:
    """Count one preview or quote; the answer's headers say what the limit says.

    :raises TooManyRequests: the sender asks for too many.
    """
    allowance = await allowance_of_preview(sender.principal, sender.client)
    if allowance is None:
        return
    sender.headers |= allowance.headers()
    if allowance.wait:
        tell_of_limit("previews", sender.source, sender.principal)
        raise TooManyRequests(allowance.wait, TOO_MANY_PREVIEWS)


async def read_quote(query: dict[str, Any]) -> OrderRequest:
    """Return what a query asks a quote of: a market order.

    :raises ValidationError: with an error for every field that is wrong.
    :raises psycopg.OperationalError, django.db.Error: as `read_order`.
    """
    asked = {name: value for name, value in query.items() if name in QUOTE_FIELDS}
    try:
        return await read_order(asked)
    except InvalidOrder as refused:
        raise ValidationError(refused.detail) from None


def quote_as_json(asked: OrderRequest, quoted: Quoted) -> dict[str, Any]:
    """Return what is asked, and what the venues offer for it."""
    offer = quoted.as_json(quoted.bound(asked.slippage_bps or 0))
    return swap_as_json(asked.swap) | {"slippageBps": asked.slippage_bps} | offer
