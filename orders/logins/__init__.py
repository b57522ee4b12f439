"""How persons log in: names and passwords, second factors, sessions, and their pages.

An app of its own, because it has tables of its own. Knows nothing of orders: what it guards is
for others to say.
"""
