"""The views of what describes the API: its schemas, and pages that show them."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.authentication import SessionAuthentication
from orders.access.read_limits import SCHEMA_COST
from orders.api.base_views import ProblemAPIView
from orders.api.schema.asyncapi import asyncapi, asyncapi_text, messages_of
from orders.api.schema.documentation import TEXT, TYPES, Document, told
from orders.api.schema.openapi import openapi
from orders.api.schema.typescript import typescript


class Kept:
    """A renderer of the schema. It keeps its text: that is the same as long as the process runs."""

    def render(self, data: Any, *context: Any) -> Any:
        if data is openapi():
            return render_once(type(self))  # type: ignore[arg-type]  # classes are hashable
        kind: Any = super()
        return kind.render(data, *context)


@cache
def render_once(kind: Any) -> Any:
    """Return the schema as this renderer's text."""
    return super(Kept, kind()).render(openapi(), None, {})


class KeptJson2(Kept, OpenApiJsonRenderer2):
    pass


class KeptJson(Kept, OpenApiJsonRenderer):
    pass


class KeptYaml2(Kept, OpenApiYamlRenderer2):
    pass


class KeptYaml(Kept, OpenApiYamlRenderer):
    pass


class SchemaView(ProblemAPIView):
    """The OpenAPI schema, as JSON or as YAML (`?format=yaml`)."""

    authentication_classes = permission_classes = ()  # it is the same for everybody
    renderer_classes = (KeptJson2, KeptJson, KeptYaml2, KeptYaml)
    read_cost = SCHEMA_COST

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(openapi())


class SwaggerView(SpectacularSwaggerSplitView):
    """Swagger, from our own static files and without inline scripts or styles."""

    authentication_classes = (SessionAuthentication,)  # the page says who is logged in
    permission_classes = ()
    template_name = "orders/api/swagger.html"
    template_name_js = "orders/api/swagger.js"
    url_name = "api-schema"


@require_safe
def asyncapi_document(request: HttpRequest) -> HttpResponseBase:
    """Answer with the AsyncAPI document, as YAML."""
    return told(request, Document(TYPES[".yaml"], asyncapi_text().encode()))


@require_safe
def types_for_typescript(request: HttpRequest) -> HttpResponseBase:
    """Answer with the shapes of both schemas as types for TypeScript."""
    return told(request, Document(TEXT, typescript().encode()))


def sockets_page(request: HttpRequest) -> HttpResponse:
    """Show the AsyncAPI document as a page for people."""
    document = asyncapi()
    place = f"{'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
    channels = [
        {
            **channel,
            "description": as_html(channel["description"]),
            "starts": place if "bindings" in channel else "GET ",
            "query": query_of(channel),
            "takes": messages_of(name, "receive").values(),
            "sends": messages_of(name, "send"),
        }
        for name, channel in document["channels"].items()
    ]
    context = {
        "title": document["info"]["title"],
        "description": as_html(document["info"]["description"]),
        "channels": channels,
        "messages": [
            {
                "name": name,
                "summary": as_html(message.get("summary", message["title"])),
                "shown": [as_text(example) for example in message["examples"]],
            }
            for name, message in document["components"]["messages"].items()
        ],
        "codes": {code: as_html(text) for code, text in document["x-close-codes"].items()},
    }
    return render(request, "orders/api/sockets.html", context)


def query_of(channel: dict[str, Any]) -> dict[str, SafeString]:
    """Return what each parameter of the channel's query means."""
    given = channel.get("bindings", {}).get("ws", {}).get("query", {})
    named = given.get("properties", {}) | {
        pattern.strip("^").replace("\\", "") + "NAME": {"description": "Only orders with this tag."}
        for pattern in given.get("patternProperties", {})
    }
    return {name: as_html(meaning_of(field)) for name, field in named.items()}


def meaning_of(field: dict[str, Any]) -> str:
    """Return a parameter's description, which may stand elsewhere in the document."""
    name = field.get("$ref", "").rpartition("/")[2]
    found = asyncapi()["components"]["schemas"][name] if name else field
    return str(found["description"])


def as_text(example: dict[str, Any]) -> str:
    return json.dumps(example["payload"], indent=2)


def as_html(text: str) -> SafeString:
    """Return the document's prose as HTML, with its paragraphs and its `words of code`."""
    paragraphs = [
        format_html_join("", "{}", ((part,) for part in mark_code(paragraph)))
        for paragraph in text.strip().split("\n\n")
    ]
    if len(paragraphs) == 1:
        return paragraphs[0]
    return format_html_join("", "<p>{}</p>", ((paragraph,) for paragraph in paragraphs))


def mark_code(text: str) -> Iterator[str | SafeString]:
    for number, part in enumerate(text.split("`")):
        yield format_html("<code>{}</code>", part) if number % 2 else part
