"""Orders that are found by a piece of text, and orders that are carried away as a table."""
