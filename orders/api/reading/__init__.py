"""What a client's order means: five dialects, its fields and terms, the price of this moment."""
