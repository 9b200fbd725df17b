"""Tests of the sandbox with a client that shares no code with the package."""
