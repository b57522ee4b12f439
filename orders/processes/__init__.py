"""What a web process and the scheduler do from start to end; the worker's is `orders.tasks`.

May import every room that it starts; nothing but ASGI and the commands imports it.
"""
