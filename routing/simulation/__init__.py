"""The simulated network and its pools. A live venue needs nothing of this package.

The rules of routing do not know that it exists.
"""
