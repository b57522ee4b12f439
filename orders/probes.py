"""The doors for those who watch over the processes: does it live, can it serve, what does it do."""

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from orders import health
from orders.metrics import CONTENT_TYPE, as_text

NEVER_KEPT = {"Cache-Control": "no-store"}


@require_safe
async def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process's event loop runs; asks nobody else."""
    return JsonResponse({"status": "ok"}, headers=NEVER_KEPT)


@require_safe
async def ready(request: HttpRequest) -> HttpResponse:
    """Answer 503 with the reasons while this process cannot take orders."""
    reasons = await sync_to_async(unready)()
    if reasons:
        found = {"status": "not_ready", "reasons": reasons}
        return JsonResponse(found, status=503, headers=NEVER_KEPT)
    return JsonResponse({"status": "ok"}, headers=NEVER_KEPT)


@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Tell Prometheus of the engine and of each of its processes."""
    text = await sync_to_async(measure)()
    return HttpResponse(text, content_type=CONTENT_TYPE, headers=NEVER_KEPT)


def unready() -> list[str]:
    try:
        return health.unready()
    finally:
        connection.close()  # the short way of config/handler.py has no signal that would


def measure() -> bytes:
    try:
        return as_text()
    finally:
        connection.close()
