"""The REST API, and the pages that show it.

This package may import the engine, access and monitoring. Sockets and the admin use its names.
"""
