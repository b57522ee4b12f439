"""Real transactions on Solana: accounts, instructions, transactions, the wallet, fills.

It needs the extra `solana` and no Django. The simulated engine never imports it.
"""
