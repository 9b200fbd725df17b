"""Tests over real sockets: what an error claims about the money is compared with what the gateway did."""
