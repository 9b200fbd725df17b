"""What may be said to the gateway, and what its answers mean: pure, no I/O."""
