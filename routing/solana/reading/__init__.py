"""Reads live pools by RPC: all accounts of a pool as of one slot, as pools of `routing/pools`."""
