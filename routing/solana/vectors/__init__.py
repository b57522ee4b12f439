"""Compares addresses, accounts, instructions, transactions, swaps and fills with recorded ones."""
