"""From an order's swaps to the bytes that are sent: legs, instructions, a message, a signature."""
