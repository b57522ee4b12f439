"""An order's way: stored, claimed, carried, executed, and each step told.

Knows nothing of HTTP, sockets or log-ins, because it works the same without them.
"""
