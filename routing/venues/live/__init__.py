"""Venues that trade for real, over `routing.solana`: they need its extra and no Django.

Nothing else imports this room but `routing.exchange`, and that one only if the settings ask for it.
"""
