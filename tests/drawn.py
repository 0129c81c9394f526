"""Tables drawn as text, and put into a database."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from flows.conform import keep_latest
from flows.duck import materialise
from flows.ledger import days_of

Row = dict[str, Any]


def drawn(text: str, **ordinary: Any) -> list[Row]:
    """The rows of a drawn table: names in the first line, then one row a line, parted by blanks; `-` is NULL.

    Args:
        text: the table. 2026-03-01 is a day, 2026-03-01T12:00 a time, yes and no are flags, numbers numbers.
        ordinary: values of columns that are not drawn.
    """
    names, *lines = [line.split() for line in text.strip().splitlines()]
    return [ordinary | dict(zip(names, map(_value, line), strict=True)) for line in lines]


def _value(text: str) -> Any:
    if text in ("-", "yes", "no"):
        return {"-": None, "yes": True, "no": False}[text]
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return date.fromisoformat(text)
    if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+", text):
        return datetime.fromisoformat(text)
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return Decimal(text) if re.fullmatch(r"-?\d+\.\d+", text) else text


def put(con: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    """Makes these the rows of a table; columns not given are NULL."""
    con.execute(f"delete from {table}")
    for row in rows:
        names = ", ".join(row)
        con.execute(f"insert into {table} ({names}) values ({', '.join('?' for _ in row)})", list(row.values()))


def rows_of(con: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    """All rows of a table, `ordered`."""
    found = con.execute(f"select * from {table}")
    names = [column[0] for column in found.description]
    return ordered(dict(zip(names, values, strict=True)) for values in found.fetchall())


def ordered(rows: Iterable[Row]) -> list[Row]:
    """The rows in the order of their values, column by column, so that tables can be compared."""
    return sorted(rows, key=lambda row: [_place(row[name]) for name in sorted(row)])


def _place(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float | Decimal)
    return value is None, float(value) if is_number else 0.0, "" if is_number else str(value)


def result(con: duckdb.DuckDBPyConnection, name: str, as_of: date | None = None) -> list[Row]:
    """All rows of the statement `sql/<name>.sql`, `ordered`."""
    materialise(con, name, days_of(as_of) if as_of else None)
    return rows_of(con, name.rsplit("/", 1)[-1])


def standing_rows(con: duckdb.DuckDBPyConnection, role: str) -> list[Row]:
    """All rows of a role's checked table as they stand after conform, `ordered`."""
    keep_latest(con, role)
    return result(con, f"staging/{role}")
