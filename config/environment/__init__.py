"""What the operator sets, and whether a start with it is possible.

May import the ground, and the simulation's own settings; what it reads makes processes and
Django's settings.
"""
