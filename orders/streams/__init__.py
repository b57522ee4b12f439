"""What happens to orders, told as it happens: of one order, or of all orders of an account.

May import the engine and what stands below it; sockets and the API bring it to clients.
"""
