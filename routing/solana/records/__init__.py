"""What the network's record of a transaction says: what moved, what it cost, why it failed."""
