"""The cluster's first accounts: mints, pools of the engine's markets, and wallets with money."""
