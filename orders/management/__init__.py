"""Commands of `manage.py`, and what they share.

May import every room below; nothing imports it.
"""
