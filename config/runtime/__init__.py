"""What a process runs on: PostgreSQL, Redis, logs, counters, one object for each loop.

This package imports no other package of the engine, so every other package may import it.
"""
