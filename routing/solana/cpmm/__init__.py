"""Raydium's CPMM on chain: addresses, accounts, swaps, pools, failures."""
