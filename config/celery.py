"""The Celery application: `celery -A config worker`."""

import os

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def begin(**_: object) -> None:
    from orders import health

    health.keep_beating("worker")


@worker_shutting_down.connect
def end(**_: object) -> None:
    from orders import health
    from orders.carrier import carrier

    health.stop_beating()
    carrier.stop()
