"""The tables and indexes as they are in the databases of users: another column or type would need a migration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import make_url

from omipay_async.sql import metadata
from tests.support.entries import execute

if TYPE_CHECKING:
    import pytest

    from omipay_async.sql import Books

_TIME: Final = "TIMESTAMP WITH TIME ZONE"
_TABLES: Final = {
    "omipay_call": {
        "m_number": "TEXT NOT NULL",
        "id": "TEXT NOT NULL",
        "endpoint": "TEXT NOT NULL",
        "out_order_no": "TEXT",
        "out_refund_no": "TEXT",
        "order_no": "TEXT",
        "refund_no": "TEXT",
        "amount": "BIGINT",
        "currency": "TEXT",
        "started_at": f"{_TIME} NOT NULL",
        "until": f"{_TIME} NOT NULL",
        "outcome": "VARCHAR(16)",
        "status": "TEXT",
        "error": "TEXT",
        "expires_at": f"{_TIME} NOT NULL",
        "closed_at": _TIME,
        "resolved_at": _TIME,
    },
    "omipay_order": {
        "m_number": "TEXT NOT NULL",
        "key": "TEXT NOT NULL",
        "order_no": "TEXT",
        "out_order_no": "TEXT",
        "amount": "BIGINT",
        "currency": "TEXT",
        "status": "TEXT",
        "made_at": f"{_TIME} NOT NULL",
        "due_at": _TIME,
        "paid_at": _TIME,
        "done_at": _TIME,
        "closed_at": _TIME,
        "owner": "TEXT",
        "lease_until": _TIME,
        "note": "TEXT",
        "wake_key": "TEXT",
        "woken": "BIGINT",
    },
}
_KEYS: Final = {
    "pk_omipay_call": ["id", "m_number"],
    "pk_omipay_order": ["m_number", "key"],
    "ix_omipay_call_unresolved": ["started_at", "m_number"],
    "ix_omipay_call_open": ["m_number"],
    "ix_omipay_call_out_order_no": ["m_number", "out_order_no"],
    "ix_omipay_call_closed": ["closed_at", "m_number"],
    "ix_omipay_order_due": ["m_number", "due_at"],
    "ix_omipay_order_closed": ["closed_at", "m_number"],
    "ix_omipay_order_woken": ["woken", "m_number"],
}
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


def test_the_columns_are_those_of_the_databases_of_users() -> None:
    """With their types, and whether they may be empty."""
    dialect = make_url("postgresql+asyncpg://").get_dialect()()
    assert {
        name: {
            column.name: column.type.compile(dialect) + ("" if column.nullable else " NOT NULL")
            for column in table.columns
        }
        for name, table in metadata.tables.items()
    } == _TABLES


def test_the_keys_and_indexes_are_those_of_the_databases_of_users() -> None:
    """Their columns have this order, too. Under other names, a migration would drop them and create them again."""
    tables = metadata.tables.values()
    found = {index.name: index for table in tables for index in table.indexes} | {
        table.primary_key.name: table.primary_key for table in tables
    }
    assert {name: [column.name for column in key.columns] for name, key in found.items()} == _KEYS


async def test_each_index_has_its_condition(request: pytest.FixtureRequest, books: Books) -> None:
    """So it holds only what is asked for: what is closed is kept for years. One finds every call by its number."""
    kind = request.node.callspec.params["url"]
    found = {
        name: text.lower().replace("(", "").replace(")", "") for name, text in await execute(books, _DEFINITIONS[kind])
    }
    conditions = {name: text.partition(" where ")[2].strip() for name, text in found.items()}
    assert {name: where.rpartition(".")[2] for name, where in conditions.items()} == {
        **_PARTIAL,
        "ix_omipay_call_out_order_no": "",
    }
