"""Whether the engine works, in numbers.

This package may read everything that is stored. It writes heartbeats, the figures of each minute,
and who has seen what needs a person.
"""
