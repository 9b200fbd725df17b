"""A string that prints something else than its content."""

from __future__ import annotations


class Masked(str):
    """A subclass like members of ``class Cur(str, Enum)``, and like the secrets of some libraries."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return other text than the content."""
        return "****"

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        """The mask, whatever the format is."""
        return "****"
