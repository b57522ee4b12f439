"""Pages for people: what the server writes into them, and errors and the API's answers as pages.

What a page shows beyond that, it asks of the API.
"""
