"""How well orders were executed: measured when they have ended, summed up for those who ask.

Stands above the engine, which knows nothing of it: nothing is written on an order's way.
"""
