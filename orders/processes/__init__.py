"""What a web process and the scheduler do from start to end. The worker's part is `orders.tasks`.

This package may import every package that it starts. Only ASGI and the commands import it.
"""
