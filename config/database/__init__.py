"""Django's PostgreSQL with the engine's rules for a connection: bounded, fit, or thrown away."""
