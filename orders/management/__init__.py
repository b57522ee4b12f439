"""Commands of `manage.py`, and the code that they share.

This package may import every room below. Nothing imports it.
"""
