"""What a process runs on: PostgreSQL, Redis, logs, counters, one object for each loop.

The ground of the house: it imports nothing of it, so that everything may stand on it.
"""
