"""The sandbox, asked by a client that shares no code with the package."""
