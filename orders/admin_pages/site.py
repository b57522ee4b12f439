"""The admin site: its start page with figures, and the page of venues."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from orders.admin_pages.operations_page import page_context, panels_as_json
from orders.admin_pages.venues import venue_records
from orders.api.problems import UNREADABLE, as_response, problem
from orders.logins.views import LogIn, LogOut
from orders.monitoring.operations import present_operations

NAVIGATION = (
    ("Engine", "admin:index", "orders.view_order"),
    ("Orders", "admin:orders_order_changelist", "orders.view_order"),
    (
        "Transactions",
        "admin:orders_transactionbysignature_changelist",
        "orders.view_transactionbysignature",
    ),
    ("Venues", "admin:venues", "orders.view_order"),
    ("Markets", "admin:routing_market_changelist", "routing.view_market"),
    ("Accounts", "admin:auth_user_changelist", "auth.view_user"),
)
"""What stands at the head of each page: the name, the page, and the permission that it needs."""
BY_USE = (
    *("Order", "TransactionBySignature", "Heartbeat", "TradingState", "ApiKey"),
    *("Market", "Token", "SimulatedPool", "SimulatedPricePath", "NetworkTransaction"),
    *("User", "Group"),
)
"""The lists, the most used first."""


class EngineAdminSite(admin.AdminSite):
    site_header = site_title = "Order execution engine"
    site_url = "/"
    index_title = "Engine"
    enable_nav_sidebar = False  # the lists need its room, and the start page links to them all
    index_template = "admin/operations.html"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        venues = path("routing/venues/", self.admin_view(self.venues_view), name="venues")
        operations = path(
            "operations.json", self.admin_view(self.operations_view), name="operations"
        )
        return [venues, operations, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        may_find = may_see_orders(request)
        navigation = [
            (name, url, url == request.path)
            for name, route, permission in NAVIGATION
            if request.user.has_perm(permission)
            for url in [reverse(route)]
        ]
        return {
            **super().each_context(request),
            **{"engine_nav": navigation, "may_find": may_find},
        }

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return super().admin_view(_readable(view), cacheable)

    # All log in by the same page: it has the limits, and asks for the second factor.
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET" and self.has_permission(request):
            return redirect("admin:index")
        return cast(HttpResponse, LogIn.as_view()(request))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return LogOut.as_view()(request)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("password")

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show how the engine stands; to a person who may see no orders, the lists alone."""
        shown: dict[str, Any] = {"page_title": "Lists"}
        if may_see_orders(request):
            shown = page_context(present_operations(), request)
        return super().index(request, {**shown, **(extra_context or {})})

    def operations_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the same as JSON: the figures, and the page's panels as HTML."""
        if not may_see_orders(request):
            raise PermissionDenied
        told = panels_as_json(present_operations(), request)
        return JsonResponse(told, headers={"Cache-Control": "no-store"})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Add the venues to the lists of `routing`: they are code and have no model."""
        apps = super().get_app_list(request, app_label)
        apps.sort(key=lambda app: app["app_label"] == "auth")  # accounts come last
        for app in apps:
            app["models"].sort(key=lambda model: _place(model["object_name"]))
        for app in apps:
            if app["app_label"] == "routing" and may_see_orders(request):
                app["models"].append(
                    {
                        "name": "Venues",
                        "object_name": "Venue",
                        "admin_url": reverse("admin:venues", current_app=self.name),
                        "add_url": None,
                        "view_only": True,
                    }
                )
        return apps

    def venues_view(self, request: HttpRequest) -> HttpResponse:
        if not may_see_orders(request):
            raise PermissionDenied
        context = {"title": "Venues", "records": venue_records()}
        return TemplateResponse(
            request, "admin/venues.html", {**self.each_context(request), **context}
        )


def _place(name: str) -> int:
    """Return where a list stands among those of its app: by how often one needs it."""
    return BY_USE.index(name) if name in BY_USE else len(BY_USE)


def may_see_orders(request: HttpRequest) -> bool:
    return request.user.has_perm("orders.view_order")


def _readable(view: Callable[..., Any]) -> Callable[..., Any]:
    """Have a view refuse values that the database cannot hold: a NUL, a year of eleven digits."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(request, *args, **kwargs)
        except (DataError, OverflowError):
            return as_response(problem(400, "bad_request", UNREADABLE))

    return wrapped
