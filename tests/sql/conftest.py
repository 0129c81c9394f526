"""Every table of a night, empty, with the types that the statements give it."""

from datetime import date

import pytest

from config.tables import ACCOUNT_FEATURES, ACCOUNT_SEGMENTS
from flows.duck import materialise
from flows.ledger import LEDGER, STATISTICS, days_of
from tests.night import conformed, memory


@pytest.fixture(scope="session")
def tables():
    con = memory()
    conformed(con, [], [])
    for name in (*LEDGER, *STATISTICS):
        materialise(con, name, days_of(date(2026, 1, 1)))
    for name, columns in (("account_segments", ACCOUNT_SEGMENTS), ("account_features", ACCOUNT_FEATURES)):
        con.execute(f"create table {name} ({', '.join(f'{column.name} {column.type}' for column in columns)})")
    return con


@pytest.fixture
def con(tables):
    for (table,) in tables.execute("select table_name from duckdb_tables()").fetchall():
        tables.execute(f"delete from {table}")
    return tables
