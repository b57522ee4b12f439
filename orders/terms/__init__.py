"""What orders that wait ask for, and what each of them watches: rules without a database.

It may import `routing` and `orders.lifecycle`. The API reads requests into these terms, the journal
stores them, and the engine watches by them.
"""
