"""WebSockets: streams of orders, and orders that are sent over a socket.

May import what the API says, and the engine; nothing but ASGI imports it.
"""
