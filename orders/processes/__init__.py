"""What a web process and the scheduler do from start to end; the worker's is `orders.tasks`.

It may import every package that it starts. Only ASGI and the commands import it.
"""
