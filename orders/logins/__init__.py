"""How persons log in: names and passwords, second factors, sessions, and their pages.

It is an app of its own because it has tables of its own. It knows nothing of orders: other
packages say what a log-in is needed for.
"""
