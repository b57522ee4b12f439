"""Django's PostgreSQL with the engine's rules: a connection is bounded and fit, or thrown away."""
