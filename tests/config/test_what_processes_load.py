"""What a process loads, and what it does without."""

import subprocess
import sys

import pytest

SETUP = """
import sys
sys.argv = sys.argv[1:]
import django
django.setup()
print({"orders.admin", "orders.logins.views", "rest_framework.serializers"} & set(sys.modules))
assert "twisted" not in sys.modules
"""


@pytest.mark.parametrize(
    ("command", "has_pages"),
    [
        (["/usr/bin/uvicorn", "config.asgi:application"], True),
        (["manage.py", "check"], True),
        (["manage.py", "run_scheduler"], False),
        (["/lib/celery/__main__.py", "-A", "config", "worker"], False),
        (["/usr/bin/celery", "-A", "config", "worker"], False),
    ],
)
def test_none_but_workers_and_schedulers_go_without_pages(
    command: list[str], has_pages: bool
) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SETUP, *command], capture_output=True, text=True, check=True
    )
    assert (found.stdout.count("'"), found.stderr) == (6 if has_pages else 0, "")
