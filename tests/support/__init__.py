"""Doubles, vectors and servers that several tests share."""
