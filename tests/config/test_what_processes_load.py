"""What a process loads, and what it does without."""

import subprocess
import sys

import pytest

SETUP = """
import sys
sys.argv = sys.argv[1:]
import django
django.setup()
from django.contrib import admin
print(len(admin.site._registry) > 0, "rest_framework.views" in sys.modules)
assert "twisted" not in sys.modules
"""


@pytest.mark.parametrize(
    ("command", "loaded"),
    [
        (["/usr/bin/uvicorn", "config.asgi:application"], "True True"),
        (["manage.py", "check"], "True True"),
        (["manage.py", "run_scheduler"], "False False"),
        (["/lib/celery/__main__.py", "-A", "config", "worker"], "False False"),
        (["/usr/bin/celery", "-A", "config", "worker"], "False False"),
    ],
)
def test_none_but_workers_and_schedulers_go_without_pages(command: list[str], loaded: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SETUP, *command], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == loaded, found.stderr
