"""The libraries that the engine's processes use, imported once for all that are forked."""

import gc
import warnings
from importlib import import_module

LIBRARIES = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.worker.consumer",
    "channels.routing",
    "channels_redis.pubsub",
    "django.contrib.admin.sites",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "kombu.transport.redis",
    "prometheus_client",
    "psycopg_pool",
    "redis.asyncio",
    "requests",
    "rest_framework",
    "structlog.dev",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.main",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_impl",
)

with warnings.catch_warnings(action="ignore"):  # as the engine's processes are started
    for library in LIBRARIES:
        import_module(library)

gc.collect()
gc.freeze()  # what is never looked at again stays shared between the processes
