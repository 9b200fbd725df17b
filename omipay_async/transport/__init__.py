"""One attempt on the wire. Of the client, only this package uses httpx, httpcore and h11."""
