"""The doors for those who watch over the processes: does it live, can it serve, what does it do."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from config.per_loop import once_per_loop
from config.witness import witness
from orders.health import Shared, probes_of_this_loop
from orders.metrics import CONTENT_TYPE, as_text, without_database

NEVER_KEPT = {"Cache-Control": "no-store"}
METRICS_SECONDS = 4.0
# A thread of its own: nobody's request waits for the metrics, and they wait for nobody's.
_measuring = ThreadPoolExecutor(1, "metrics")


@require_safe
async def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process's event loop runs; asks nobody else.

    503 when another part of the process stands still, so that whoever restarts it need not wait.
    """
    if witness.is_stuck():
        return JsonResponse({"status": "stuck"}, status=503, headers=NEVER_KEPT)
    return JsonResponse({"status": "ok"}, headers=NEVER_KEPT)


@require_safe
async def ready(request: HttpRequest) -> HttpResponse:
    """Answer 503 with the reasons while this process cannot take orders."""
    reasons = await probes_of_this_loop().unready()
    if reasons:
        found = {"status": "not_ready", "reasons": reasons}
        return JsonResponse(found, status=503, headers=NEVER_KEPT)
    return JsonResponse({"status": "ok"}, headers=NEVER_KEPT)


@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Tell Prometheus of the engine and of each of its processes."""
    try:
        text = await _metrics_of_this_loop()()
    except TimeoutError:
        text = without_database()
    return HttpResponse(text, content_type=CONTENT_TYPE, headers=NEVER_KEPT)


@once_per_loop
def _metrics_of_this_loop() -> Shared[bytes]:
    async def measured() -> bytes:
        return await asyncio.get_running_loop().run_in_executor(_measuring, measure)

    return Shared(measured, METRICS_SECONDS)


def measure() -> bytes:
    try:
        return as_text()
    finally:
        connection.close()  # the short way of config/handler.py has no signal that would
