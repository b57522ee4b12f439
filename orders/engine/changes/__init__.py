"""Changes to orders that rest, and many orders at once: amended, replaced, cancelled, sent."""
