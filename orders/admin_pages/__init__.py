"""The parts of the operators' pages. `orders/admin` registers the pages that list rows.

They do not stand in orders/admin. Django imports the site first, and registrations that were made
during that import would be lost.
"""
