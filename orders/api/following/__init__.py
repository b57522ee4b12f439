"""The events of an account over HTTP: as server-sent events, and in pages that may be waited for.

The same log as on a WebSocket, with the same cursors, filters and errors (`orders/sockets`).
"""
