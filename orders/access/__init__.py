"""Who acts, what they may, and how much of it.

May import log-ins; knows nothing of views and of the engine, which asks it.
"""
