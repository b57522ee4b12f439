"""Breaks a running engine in every way that is known, by a seed, and judges what is left."""
