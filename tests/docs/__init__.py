"""Tests of the README and the guides: their programs run as printed, their links lead somewhere."""
