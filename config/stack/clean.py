"""Remove what `make up` keeps: `python -m config.stack.clean`, which any Python can run."""

import sys

from config.environment.data_folder import PROJECT, is_in_use, remove
from config.runtime.sentences import say


def clean() -> int:
    """Remove the data folder in the project."""
    data_dir = PROJECT / ".data"
    if is_in_use(data_dir):
        say(f"The engine in {data_dir} is running: stop it first.")
        return 1
    remove(data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(clean())
