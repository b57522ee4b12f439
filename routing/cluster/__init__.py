"""A Solana cluster on this machine, for tests and for trying: `python -m routing.cluster`.

One process has LiteSVM (the system and token programs as they run on mainnet), slots and
blockhashes that advance with time, pools of the engine's markets, a trader that moves their prices,
and JSON-RPC over HTTP and WebSocket. Swaps are worked out by `routing.pools`, unless the user gives
the real programs. What it holds is stored, so a second start goes on with the same chain. Faults
that real nodes have are switches. It is no part of the engine: nothing imports it. It stands above
`simulation`, whose prices and depths it shares, and above `solana`, whose layouts it writes.
"""
