"""Have a simulated price move: `manage.py set_price_path "SOL=-8%/60"`."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.models import SimulatedPricePath
from routing.operations import price_paths

COMMAND = "manage.py set_price_path"


class Command(BaseCommand):
    help = "Have a token's simulated price follow a path, such as SOL=-8%/60 +0%/120."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path", help="token, steps of per cent and seconds, and @TIME if wanted"
        )

    def handle(self, *args: Any, path: str, **options: Any) -> None:
        """:raises CommandError: it is no path, or would begin too soon."""
        try:
            stored = price_paths.store(*price_paths.read(path), COMMAND)
        except (price_paths.UnusablePath, SimulatedPricePath.TooSoon) as fault:
            raise CommandError(str(fault)) from fault
        begins = datetime.fromtimestamp(stored.begins_at, UTC)
        self.stdout.write(f"The path begins at {begins:%H:%M:%S} UTC.")
