"""Bring the database to this version: the `release` step of Procfile and compose."""

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from config.pooler import refuse_pooler
from orders.journal import conninfo


class Command(BaseCommand):
    help = "Migrate; with DEMO_LOGIN=1 also make the login demo/demo, once."

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_pooler(conninfo())
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        if os.environ.get("DEMO_LOGIN") == "1":
            users = get_user_model().objects
            if not users.filter(username="demo").exists():
                users.create_superuser("demo", "", "demo")
