"""Names the engine's own admin site, before any model is loaded."""

import sys
from pathlib import Path

from django.contrib.admin.apps import AdminConfig, SimpleAdminConfig


class EngineAdminConfig(AdminConfig):
    default_site = "orders.admin_pages.site.EngineAdminSite"

    def ready(self) -> None:
        """Load the pages of all apps, but where nobody can open one.

        Pages bring the API and the log-ins with them: 5 MB.
        """
        if serves_pages():
            super().ready()
        else:
            SimpleAdminConfig.ready(self)


def serves_pages() -> bool:
    """Whether this may be any process but a worker or a scheduler."""
    is_worker = "celery" in Path(sys.argv[0]).parts
    return not is_worker and sys.argv[1:2] != ["run_scheduler"]
