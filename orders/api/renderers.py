"""How answers are written: JSON for programs at once, everything else by DRF's rules."""

import logging
from collections.abc import Sequence
from typing import Any

import orjson
from django.contrib.auth import get_user
from django.utils.html import format_html
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import (
    BaseRenderer,
    BrowsableAPIRenderer,
    HTMLFormRenderer,
    JSONRenderer,
)
from rest_framework.request import Request
from rest_framework.settings import api_settings

from orders.api.problems import is_database_away

logger = logging.getLogger(__name__)

BARE_PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Order execution engine</title><pre>{}</pre></html>
"""
INDENTED = orjson.OPT_INDENT_2
PROBLEM = "application/problem+json"
URL_FORMAT_OVERRIDE = api_settings.URL_FORMAT_OVERRIDE
UNCHOOSY = frozenset(("", "*/*", "application/json"))


class PlainJSONRenderer(JSONRenderer):
    """DRF's renderer with orjson: our answers hold only plain JSON values."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        is_page = bool(renderer_context and renderer_context.get("indent"))
        return b"" if data is None else orjson.dumps(data, option=INDENTED if is_page else None)


class FormRenderer(HTMLFormRenderer):
    """A form whose labels belong to their fields."""

    def render(self, data: Any, accepted: Any = None, renderer_context: Any = None) -> str:
        context = {"style": {"template_pack": "orders/fields"}}
        form: str = super().render(data, accepted, context)
        return form


class PageRenderer(BrowsableAPIRenderer):
    """DRF's page for people, under a Content-Security-Policy of `default-src 'self'`.

    If the database falls silent meanwhile, the answer is shown without the page around it. The
    request's work is done by then, and the answer must not say anything else.
    """

    template = "orders/api/page.html"
    form_renderer_class = FormRenderer

    def get_context(self, *given: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(*given)
        return context | {"person": person_who_looks(context["request"])}

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> str:
        try:
            page: str = super().render(data, accepted_media_type, renderer_context)
        except Exception as error:
            if not is_database_away(error):
                raise
            logger.warning("an answer was shown without its page: %s", error)
            return format_html(BARE_PAGE, orjson.dumps(data, option=INDENTED).decode())
        return page


def person_who_looks(request: Request) -> Any:
    """Return who has logged in, also on a page that is the same for everybody."""
    session = getattr(request._request, "session", None)
    if request.authenticators or session is None:
        return request.user
    try:
        return get_user(request._request)
    except Exception as error:
        if not is_database_away(error):
            raise
        return request.user


class ProgramsFirst(DefaultContentNegotiation):
    """DRF's negotiation. Most programs skip it and get the first renderer."""

    def select_renderer(
        self,
        request: Request,
        renderers: Sequence[BaseRenderer],  # type: ignore[override]
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        accept = request.META.get("HTTP_ACCEPT", "")
        asks = request.META.get("QUERY_STRING") and URL_FORMAT_OVERRIDE in request.query_params
        if accept in UNCHOOSY and not asks and format_suffix is None:
            return renderers[0], renderers[0].media_type
        try:
            choice: tuple[BaseRenderer, str] = super().select_renderer(
                request, renderers, format_suffix
            )
        except NotAcceptable:
            if PROBLEM not in accept.lower():
                raise
            return renderers[0], renderers[0].media_type  # an error is in that form; all else JSON
        return choice
