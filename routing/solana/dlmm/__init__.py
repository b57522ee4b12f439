"""Meteora's DLMM on chain: addresses, accounts, swaps, pools, failures."""
