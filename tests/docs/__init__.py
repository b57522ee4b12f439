"""What documents say is what there is."""
