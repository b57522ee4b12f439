"""What the operator sets, and whether the engine can start with it.

This package may import the ground and the simulation's own settings. What it reads makes the
processes and Django's settings.
"""
