"""One hostile stranger and some honest clients: what the first costs the others."""
