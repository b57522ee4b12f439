"""What makes orders fire that rest: once a second prices are made, and orders compared with them.

It runs in the scheduler's process (`orders/processes/watcher.py`). No order that does not fire is
touched.
"""
