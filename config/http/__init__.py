"""HTTP and WebSockets before any view: who is at the door, which host, what may come in.

Knows Django's settings, and no orders: these lines run for every request alike.
"""
