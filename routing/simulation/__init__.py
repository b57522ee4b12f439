"""The simulated network and its pools: what a live venue needs none of.

The rules of routing do not know that it exists.
"""
