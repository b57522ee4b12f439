"""The swaps of Raydium's and Meteora's programs, worked out by `routing.pools`.

Each module reads the accounts that an instruction names, checks them as the program does, and says
what the swap moves and what its pool's bytes are afterwards. It executes nothing.
"""
