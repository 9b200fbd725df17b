"""Tests against real sockets: what is said of the money, proved by what a misbehaving gateway acted on."""
