"""Changes to orders that are there, and several orders at once: amend, replace, cancel, batch."""
