"""Whether the engine works, in numbers.

This package may read everything that is stored. It writes only heartbeats.
"""
