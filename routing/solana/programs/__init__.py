"""The instructions of Solana's own programs that our transactions have, and how they are read."""
