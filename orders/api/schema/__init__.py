"""What the API promises, for machines: OpenAPI of the paths, AsyncAPI of the sockets."""
