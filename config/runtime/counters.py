"""What this process has done since it started, for /metrics: numbers that only grow.

Counting costs an increment in a dictionary and nothing else. A heartbeat carries the numbers to the
database every few seconds (`orders/monitoring/health.py`). A name may carry one label, after a
colon.
"""

from collections import Counter

counts: Counter[str] = Counter()
