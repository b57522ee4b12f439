import copy
import io
import json
import logging
import logging.config
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import uvicorn.config
from django.core.handlers.exception import convert_exception_to_response
from django.test import override_settings

from config.runtime.counters import counts
from config.runtime.logs import context_of, logging_settings

ID = "01a1fc02-2219-7ea8-9f11-ba64b00749af"


class Log:
    """What a process writes whose settings say `form`."""

    def __init__(self, form: str, level: str = "INFO") -> None:
        self.form = form
        self._written = io.StringIO()
        found = logging_settings(level, form)
        found["handlers"]["console"]["stream"] = self._written
        logging.config.dictConfig(found)

    @property
    def text(self) -> str:
        return self._written.getvalue()

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    loggers = [logging.root, *map(logging.getLogger, logging_settings("INFO", "json")["loggers"])]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


def test_a_json_line_has_time_level_logger_message_and_the_ids_of_its_context() -> None:
    log = Log("json")
    with structlog.contextvars.bound_contextvars(request_id="mine"):
        logging.getLogger("orders.engine.submission").info(
            "order %s", "accepted", extra={"order_id": ID}
        )
    (line,) = log.lines

    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "logger": "orders.engine.submission",
        "message": "order accepted",
        "request_id": "mine",
        "order_id": ID,
    }


def test_a_console_line_has_the_same_as_words() -> None:
    log = Log("console")
    with structlog.contextvars.bound_contextvars(request_id="mine"):
        logging.getLogger("orders.engine.submission").info("order accepted", extra={"order_id": ID})

    assert re.fullmatch(
        r"2\S+Z \[info +\] order accepted \[orders.engine.submission\] "
        rf"request_id=mine order_id={ID}\n",
        log.text,
    )


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_client_cannot_write_lines_of_its_own_or_steer_the_terminal(form: str) -> None:
    log = Log(form)
    logging.getLogger("orders").warning("no such token: %s", "X\n2026 [error] \x1b[2Jforged\r")
    assert len(log.text.splitlines()) == 1
    assert "\x1b" not in log.text
    assert "forged" in log.text


@pytest.mark.parametrize("form", ["console", "json"])
def test_only_fields_that_are_named_are_written(form: str) -> None:
    log = Log(form)
    extra = {"request": "<GET /?token=secret>", "cookie": "secret", "status_code": 404}
    logging.getLogger("django.request").warning("Not Found: /", extra=extra)
    assert "404" in log.text
    assert "secret" not in log.text


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_is_written_without_the_values_of_variables(form: str) -> None:
    log = Log(form)
    password = "secret" + "-word"
    try:
        raise ValueError(f"{len(password)} letters")
    except ValueError:
        logging.getLogger("orders").exception("it broke")

    assert "Traceback" in log.text
    assert "ValueError: 11 letters" in log.text
    assert "secret-word" not in log.text
    if form == "json":
        assert "ValueError" in log.lines[0]["exception"]


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("query", ["", "?a=1&b=2&c=3"], ids=["a strange host", "many fields"])
def test_what_a_stranger_is_refused_for_is_one_line(form: str, query: str, rf: Any) -> None:
    log = Log(form)
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=2, ALLOWED_HOSTS=["localhost"]):
        host = "localhost" if query else "evil.test"
        request = rf.get(f"/{query}", headers={"host": host})
        answer = convert_exception_to_response(lambda it: it.get_host() and it.GET)(request)

    assert answer.status_code == 400
    (line,) = [line for line in log.text.splitlines() if "django.security." in line]
    assert "Traceback" not in log.text
    assert ("number of GET/POST parameters" if query else "evil.test") in line


@pytest.mark.parametrize("name", ["uvicorn.error", "django.request", "celery.worker", "asyncio"])
def test_the_lines_of_other_libraries_are_written_once_and_in_our_form(name: str) -> None:
    logging.config.dictConfig(copy.deepcopy(uvicorn.config.LOGGING_CONFIG))
    log = Log("json")
    logging.getLogger(name).error("broken")
    assert [(line["logger"], line["message"]) for line in log.lines] == [(name, "broken")]


def test_celery_leaves_the_log_as_it_is() -> None:
    from config.celery import app

    log = Log("json")
    streams = sys.stdout, sys.stderr
    app.log.setup(loglevel="INFO")
    logging.getLogger("celery.task").warning("late")
    assert [line["message"] for line in log.lines] == ["late"]
    assert (sys.stdout, sys.stderr) == streams
    assert logging.root.level == logging.WARNING


def test_the_level_is_that_of_our_own_loggers_alone() -> None:
    log = Log("json", "DEBUG")
    for name in ("orders.engine.bell", "routing.router", "config.stack", "redis", "celery"):
        logging.getLogger(name).debug("fine")

    assert [line["logger"] for line in log.lines] == [
        "orders.engine.bell",
        "routing.router",
        "config.stack",
    ]


def test_an_order_is_named_in_its_own_context_and_nowhere_else() -> None:
    log = Log("json")
    logger = logging.getLogger("orders.engine.execution")
    context_of(ID).run(logger.info, "inside")
    logger.info("outside")
    assert [line.get("order_id") for line in log.lines] == [ID, None]


def test_warnings_and_worse_are_counted_by_logger_and_level() -> None:
    Log("json", "DEBUG")
    before = counts.copy()
    logger = logging.getLogger("orders.engine.hints")
    logger.info("fine")
    logger.warning("not fine")
    logger.error("worse")

    assert dict(counts - before) == {
        "log_lines:orders.engine.hints/warning": 1,
        "log_lines:orders.engine.hints/error": 1,
    }


@pytest.mark.parametrize(
    ("level", "form", "says"),
    [
        ("LOUD", "json", "LOG_LEVEL is DEBUG, INFO"),
        ("INFO", "xml", "LOG_FORMAT is console or json"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence(level: str, form: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        logging_settings(level, form)
