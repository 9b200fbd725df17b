"""One attempt on the wire. The only place that knows httpx and httpcore."""
