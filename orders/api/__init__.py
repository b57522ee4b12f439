"""The REST API, and the pages that show it.

May import the engine, access and monitoring; sockets and the admin speak its words.
"""
