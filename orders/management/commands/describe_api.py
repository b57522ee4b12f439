"""Write what docs/ has from the code: asyncapi.yaml, and the tables of sockets.md."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from orders.api.schema.asyncapi import asyncapi_text
from orders.api.schema.tables import with_tables


class Command(BaseCommand):
    help = "Write docs/asyncapi.yaml, and the tables in docs/sockets.md, from the code."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--docs", type=Path, default=Path(settings.BASE_DIR) / "docs")

    def handle(self, *args: Any, docs: Path, **options: Any) -> None:
        (docs / "asyncapi.yaml").write_text(asyncapi_text())
        page = docs / "sockets.md"
        page.write_text(with_tables(page.read_text()))
