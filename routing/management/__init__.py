"""Commands about pools; nothing imports them."""
