"""Every table of a night, empty, with the types that the statements give it."""

from datetime import date

import pytest

from config.tables import ACCOUNT_FEATURES, ACCOUNT_SEGMENTS, VERDICT_STANDINGS, Column
from flows.duck import materialise
from flows.ledger import days_of
from tests.night import STATEMENTS, conformed, memory


@pytest.fixture(scope="session")
def tables():
    con = memory()
    conformed(con, [], [])
    for name in STATEMENTS:
        materialise(con, name, days_of(date(2026, 1, 1)))
    because = Column("because", "VARCHAR", "text", "")
    others = [column for column in VERDICT_STANDINGS if column not in ACCOUNT_SEGMENTS]
    standing = {column.name: column for column in (*ACCOUNT_SEGMENTS, *others, because)}
    for name, columns in (
        ("account_segments", ACCOUNT_SEGMENTS),
        ("account_features", ACCOUNT_FEATURES),
        ("verdicts", standing.values()),
        ("standings_before", VERDICT_STANDINGS),
        ("merged_accounts", ACCOUNT_SEGMENTS[:1]),
    ):
        con.execute(f"create table {name} ({', '.join(f'{column.name} {column.type}' for column in columns)})")
    return con


@pytest.fixture
def con(tables):
    for (table,) in tables.execute("select table_name from duckdb_tables()").fetchall():
        tables.execute(f"delete from {table}")
    return tables
