"""The on-chain programs' mathematics on frozen pool states. docs/pools.md says what is modelled."""
