"""Names this state of the static files, so that browsers may keep them for as long as it lasts.

The name stands in each file's path, before the file's own. So files that name each other, as
scripts and style sheets do by relative paths, are always of one state, also while an upgrade runs.
"""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

FOREIGN = ("django", "djangorestframework", "drf-spectacular-sidecar")
"""Packages that bring static files of their own."""


def static_version(folders: Iterable[Path]) -> str:
    """Return the name: the same for the same files, on every host."""
    found = hashlib.sha256("".join(version(name) for name in FOREIGN).encode())
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            found.update(path.relative_to(folder).as_posix().encode())
            found.update(path.read_bytes())
    return f"v-{found.hexdigest()[:12]}"
