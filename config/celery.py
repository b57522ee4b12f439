"""The Celery application: `celery -A config worker`."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
import config.runtime.broker  # noqa: E402, F401  # names the transport of CELERY_BROKER_URL


@setup_logging.connect
def keep_logging(**_: object) -> None:
    """Keep the log as Django has set it up: Celery adds no handlers if this signal is received."""
