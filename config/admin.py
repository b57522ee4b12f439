"""Names the engine's own admin site, before any model is loaded."""

from django.contrib.admin.apps import AdminConfig


class EngineAdminConfig(AdminConfig):
    default_site = "orders.admin_pages.site.EngineAdminSite"
