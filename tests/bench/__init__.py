"""`make bench`: what the engine does in a second, on its own servers, everything persisted."""
