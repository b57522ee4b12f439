"""The engine as real processes, which are killed, frozen and cut off."""
