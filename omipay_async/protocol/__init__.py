"""What may be sent to the gateway, and what its answers mean. Pure: no I/O."""
