"""Kombu's transport for Redis. It uses our own address, and ignores all messages but our bells."""

import json
import logging
from base64 import b64decode
from typing import Any

import redis
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.connection import parse_url

from config.runtime.counters import counts

logger = logging.getLogger(__name__)

TRANSPORT_ALIASES["engine"] = "config.runtime.broker:Transport"

ADDRESS: dict[str, Any] = dict(parse_url(settings.REDIS_URL))  # type: ignore[no-untyped-call]  # redis-py's
CONNECTION = ADDRESS.pop("connection_class", redis.Connection)
OUR_TASKS = "orders.tasks."
ONLY_TCP = ("socket_connect_timeout", "socket_keepalive", "socket_keepalive_options")


class Channel(kombu_redis.Channel):
    """Connects as the rest of the engine does. Kombu alone would check no certificate."""

    connection_class = CONNECTION

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # untyped
        for name in ("host", "port", "username", "password", "db"):
            parameters.pop(name, None)
        if issubclass(CONNECTION, redis.UnixDomainSocketConnection):
            for name in ONLY_TCP:
                parameters.pop(name, None)
        return {"db": 0, **parameters, **ADDRESS}

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # untyped
        except ValueError as error:  # it was no JSON, and is no longer in the list
            counts["messages_passed_over"] += 1
            logger.warning("What is no message was passed over: %s", type(error).__name__)
            return True


class Transport(kombu_redis.Transport):
    """Delivers only messages in Celery's form. Any other would end the worker."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        if not is_message(message) or (
            queue == settings.CELERY_TASK_DEFAULT_QUEUE and not is_bell(message)
        ):
            counts["messages_passed_over"] += 1
            logger.warning("A message that is not ours was passed over")
            return
        super()._deliver(message, queue)


def is_message(message: Any) -> bool:
    """Whether Kombu can take this for a message."""
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        return False
    properties = message["properties"]
    return (
        isinstance(properties.get("delivery_tag"), str)
        and isinstance(properties.get("delivery_info"), dict)
        and {"exchange", "routing_key"} <= properties["delivery_info"].keys()
        and isinstance(message.get("headers"), dict)
        and isinstance(message.get("body"), str)
    )


def is_bell(message: dict[str, Any]) -> bool:
    """Whether this is a task of ours, in Celery's form, with no follow-up task.

    Celery also has built-in tasks, which call others. And a message may name tasks that Celery is
    to run afterwards. Both are refused.
    """
    headers = message["headers"]
    if not isinstance(headers.get("task"), str) or not isinstance(headers.get("id"), str):
        return False
    if not headers["task"].startswith(OUR_TASKS):
        return False
    if message.get("content-type") != "application/json":
        return False
    try:
        arguments, keywords, embedded = json.loads(b64decode(message["body"], validate=True))
    except (ValueError, TypeError):
        return False
    is_task = isinstance(arguments, list) and isinstance(keywords, dict)
    return is_task and isinstance(embedded, dict) and not any(embedded.values())
