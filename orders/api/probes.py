"""The paths for those who watch the processes: does one live, can it serve, what does it do."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from config.http.address import is_spoken_for, parse_address
from config.runtime.per_loop import once_per_loop
from config.runtime.witness import witness
from orders.api.problems import problem
from orders.monitoring.health import Shared, probes_of_this_loop
from orders.monitoring.metrics import CONTENT_TYPE, as_text, without_database

NEVER_KEPT = {"Cache-Control": "no-store"}
WHO_MAY_READ = (
    "The metrics are for METRICS_TOKEN (Authorization: Bearer TOKEN), or for this machine where no"
    " proxy asks."
)
METRICS_SECONDS = 4.0
# It has a thread of its own: requests and metrics never wait for each other.
_measuring = ThreadPoolExecutor(1, "metrics")


@require_safe
async def live(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process's event loop runs. Ask no other process.

    The answer is 503 when another part of this process stands still. So a supervisor need not wait.
    """
    if witness.is_stuck():
        return JsonResponse({"status": "stuck"}, status=503, headers=NEVER_KEPT)
    return JsonResponse({"status": "ok"}, headers=NEVER_KEPT)


@require_safe
async def ready(request: HttpRequest) -> HttpResponse:
    """Answer 503 with the reasons while this process cannot take orders."""
    reasons = await probes_of_this_loop().unready()
    if reasons:
        body = {"status": "not_ready", "reasons": reasons}
        return JsonResponse(body, status=503, headers=NEVER_KEPT)
    return JsonResponse({"status": "ok"}, headers=NEVER_KEPT)


@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Give the metrics of the engine and each of its processes, to Prometheus alone."""
    if not may_read_metrics(request):
        return JsonResponse(
            problem(401, "not_authenticated", WHO_MAY_READ),
            status=401,
            headers=NEVER_KEPT | {"WWW-Authenticate": 'Bearer realm="metrics"'},
            content_type="application/problem+json",
        )
    try:
        text = await _metrics_of_this_loop()()
    except TimeoutError:
        text = without_database()
    return HttpResponse(text, content_type=CONTENT_TYPE, headers=NEVER_KEPT)


def may_read_metrics(request: HttpRequest) -> bool:
    """Whether the request has the token, or a program of this machine asks without a proxy."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    known = settings.METRICS_TOKEN
    if known and scheme.lower() == "bearer":
        return constant_time_compare(token.strip(), known)
    client = parse_address(request.META.get("REMOTE_ADDR", ""))
    is_spoken = is_spoken_for((name.lower().encode("latin-1"), b"") for name in request.headers)
    return client is not None and client.is_loopback and not is_spoken


@once_per_loop
def _metrics_of_this_loop() -> Shared[bytes]:
    async def measure_in_thread() -> bytes:
        return await asyncio.get_running_loop().run_in_executor(_measuring, measure)

    return Shared(measure_in_thread, METRICS_SECONDS)


def measure() -> bytes:
    try:
        return as_text()
    finally:
        connection.close()  # on the short way of config/http/order_entry.py no signal closes it
