import sys

# structlog would load Twisted where it finds it: 3 MB of each process. That is here for
# `runserver` alone, and without Twisted structlog leaves its part for it out.
sys.modules.setdefault("structlog.twisted", None)  # type: ignore[arg-type]  # as import takes it
