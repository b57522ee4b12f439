"""Django's ASGI handler, which visits a thread once for each request.

The stock one visits it before and after every middleware, some sixteen times, and each visit costs
more than what most of them do there. What a middleware or a view awaits still runs on the loop.
"""

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class OneThreadHandler(ASGIHandler):
    """Runs the middleware and the view together in the request's thread."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response)(request)
