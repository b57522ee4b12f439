"""How every process writes its log: lines for people, or JSON for machines, with ids in both.

All lines go through the standard library's loggers, also those of Django, Celery and uvicorn.
Fields that are bound in the context (`request_id`, `order_id`) are added to each line. Other
fields come by `extra=`. Only the fields named here are written. So no code logs a cookie by
accident.
"""

import logging
import sys
from contextvars import Context, copy_context
from typing import Any

import orjson
import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, ProcessorReturnValue, WrappedLogger

from config.runtime.counters import counts

FORMATS = ("console", "json")
OTHERS = ("django", "django.server", "uvicorn", "uvicorn.error", "uvicorn.access")
CONSUMER = "celery.worker.consumer.consumer"
SECURITY = "engine.security"  # its lines are written at every level
EXTRA_FIELDS = ("order_id", "seq", "status_code")
# Of config/http/security_log.py. The address stands first, before any text of a stranger.
SECURITY_FIELDS = (
    *("address", "account", "key_prefix", "user_name", "by", "reason", "limit", "changed", "days"),
)
LONGEST_MESSAGE = 2_000  # characters; a traceback stands beside it
ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {9: "\t", 10: "\\n", 13: "\\r"}


def logging_settings(level: str, form: str) -> dict[str, Any]:
    """Return Django's LOGGING: `level` for the engine's own loggers, `form` one of FORMATS.

    :raises ValueError: there is no such level or format.
    """
    if level not in logging.getLevelNamesMapping():
        raise ValueError(f"LOG_LEVEL is DEBUG, INFO, WARNING, ERROR or CRITICAL, not {level}")
    if form not in FORMATS:
        raise ValueError(f"LOG_FORMAT is {' or '.join(FORMATS)}, not {form}")
    passed_on: dict[str, Any] = {"handlers": [], "propagate": True}  # their own handlers go
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "config.runtime.logs.formatter", "form": form}},
        "filters": {
            "in_one_line": {"()": "config.runtime.logs.InOneLine"},
            "of_strangers": {"()": "config.runtime.logs.OfStrangers"},
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["of_strangers"],
            },
            "counter": {"class": "config.runtime.logs.LineCounter", "level": "WARNING"},
        },
        "root": {"handlers": ["console", "counter"], "level": "WARNING"},
        "loggers": {
            **{name: {"level": level} for name in ("config", "orders", "routing")},
            **dict.fromkeys(OTHERS, passed_on),
            CONSUMER: {"filters": ["in_one_line"]},
            SECURITY: {"level": "INFO"},
        },
    }


def formatter(form: str) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[
            merge_contextvars,
            ExtraAdder((*EXTRA_FIELDS, *SECURITY_FIELDS)),
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            within_bounds,
            *((structlog.processors.format_exc_info, as_json) if form == "json" else ()),
            *((on_one_line, console_renderer()) if form == "console" else ()),
        ],
    )


def console_renderer() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        pad_event_to=0,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,  # other ones show local variables
    )


def as_json(logger: WrappedLogger, method: str, event: EventDict) -> ProcessorReturnValue:
    line = {
        "timestamp": event.pop("timestamp"),
        "level": event.pop("level"),
        "logger": event.pop("logger"),
        "message": event.pop("event"),
        **event,
    }
    return orjson.dumps(line, default=str).decode()


def on_one_line(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escape characters with which a client's text could begin a line or control a terminal."""
    event["event"] = str(event["event"]).strip().translate(ESCAPES)
    return event


def within_bounds(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Cut a text that a client can make as long as a request's head, such as a path."""
    text = str(event["event"])
    if len(text) > LONGEST_MESSAGE:
        event["event"] = f"{text[:LONGEST_MESSAGE]}... ({len(text)} characters)"
    return event


def context_of(order_id: str) -> Context:
    """Return a copy of the context in which every log line carries the order's id."""
    context = copy_context()
    context.run(bind_contextvars, order_id=order_id)
    return context


class InOneLine(logging.Filter):
    """Writes a warning's error into its line. Celery would add a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.WARNING and record.exc_info:
            record.msg, record.args = f"{record.getMessage()} {record.exc_info[1]}", ()
            record.exc_info = None
        return True


class OfStrangers(logging.Filter):
    """Drops the traceback of a refused request, such as one for its Host. Its line says why."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
        return True


class LineCounter(logging.Handler):
    """Counts lines by logger and level. Some faults that we survive show only in these counts."""

    def emit(self, record: logging.LogRecord) -> None:
        counts[f"log_lines:{record.name}/{record.levelname.lower()}"] += 1
