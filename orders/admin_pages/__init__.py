"""What the pages of operators are made of; `orders/admin` registers those that list rows.

Not in orders/admin: Django imports the site before, and registrations that were made meanwhile
would be lost.
"""
