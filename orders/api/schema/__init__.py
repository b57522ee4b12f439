"""What describes the engine to programs: OpenAPI, AsyncAPI, types, and docs/ as text."""
