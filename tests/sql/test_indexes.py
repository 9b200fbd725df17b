"""Indexes hold only what is asked for: closed calls and orders are kept for years, and what is open is little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.support.entries import execute

if TYPE_CHECKING:
    import pytest

    from omipay_async.sql import Books

_PARTIAL: Final = {
    "ix_omipay_call_unresolved": "closed_at is null",
    "ix_omipay_call_open": "closed_at is null",
    "ix_omipay_call_closed": "closed_at is not null",
    "ix_omipay_order_due": "due_at is not null",
    "ix_omipay_order_closed": "closed_at is not null",
    "ix_omipay_order_woken": "woken is not null",
}
_DEFINITIONS: Final = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    "postgres": "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'ix_omipay%'",
}


async def test_each_index_has_its_condition(request: pytest.FixtureRequest, books: Books) -> None:
    """In both databases; only the one that finds calls by their number is whole."""
    kind = request.node.callspec.params["url"]
    found = {
        name: text.lower().replace("(", "").replace(")", "") for name, text in await execute(books, _DEFINITIONS[kind])
    }
    conditions = {name: text.partition(" where ")[2].strip() for name, text in found.items()}
    assert {name: where.rpartition(".")[2] for name, where in conditions.items()} == {
        **_PARTIAL,
        "ix_omipay_call_out_order_no": "",
    }
