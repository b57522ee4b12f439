"""How fast this machine is just now."""

import timeit


def loop_ms() -> float:
    """Return how long Python takes to add up a million numbers: other guests slow a machine."""
    return min(timeit.repeat(lambda: sum(range(1_000_000)), number=1, repeat=10)) * 1000
