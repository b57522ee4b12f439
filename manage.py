#!/usr/bin/env python
"""Django's command line."""

import os
import signal
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

sys.path.append(str(Path(__file__).resolve().parent / "client"))  # a package of its own

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:  # who read it has gone, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
