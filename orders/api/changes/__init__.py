"""What changes something, by whichever door: place, amend, replace, cancel, several at once."""
