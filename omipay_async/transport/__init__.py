"""One attempt on the wire. The only package that uses httpx and httpcore."""
