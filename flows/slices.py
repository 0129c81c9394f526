"""Some accounts at a time: what Polars computes of them never needs more memory than a slice of them does.

What is computed lies in the run's folder as Parquet files, one a table and slice, in the types in which it is published.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import duckdb
import polars as pl

from config.tables import ACCOUNT_FEATURES, ACCOUNT_SEGMENTS, VERDICT_STANDINGS
from flows.duck import identifier, literal, parquet
from flows.package import part, parts

ROWS = 500_000
SAMPLED = 10_000
COMPUTED = "computed"
ROW_GROUP = 122_880
"""Rows, as many as DuckDB stores together: it writes those of a file to a table as they come, and none of them twice."""

_TYPES = {column.name: column.type for column in (*ACCOUNT_SEGMENTS, *ACCOUNT_FEATURES, *VERDICT_STANDINGS)}


def slices(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The rows of `account_lines` in slices of about `ROWS`, an account with all its lines in one: SQL that selects each.

    The slices are in the order of accounts, and so are the rows of each. Where one ends is told from a sample.
    """
    count, least = con.execute("select count(*), min(account_id) from account_statistics").fetchall()[0]
    sampled = con.execute(
        f"select account_id from account_statistics using sample reservoir({SAMPLED} rows) order by account_id"
    ).fetchall()
    wanted = -(-count // ROWS)
    bounds = sorted({sampled[number * len(sampled) // wanted][0] for number in range(1, wanted)} - {least})
    for low, high in pairwise([None, *map(literal, bounds), None]):
        sides = [f"account_id >= {low}"] * (low is not None) + [f"account_id < {high}"] * (high is not None)
        yield f"select * from account_lines where {' and '.join(sides) or 'true'} order by account_id, line"


def store(con: duckdb.DuckDBPyConnection, folder: Path, table: str, number: int, frame: pl.DataFrame) -> None:
    """Writes what was computed of a slice for a table; the first slice begins the table anew.

    Args:
        con: the run's connection; it gets a view of the table as far as it goes.
        folder: the run's.
        table: its name.
        number: of the slice, from 0.
        frame: its rows, of the same columns in each slice.
    """
    if not number:
        for file in stored(folder, table):
            file.unlink()
    typed = ", ".join(f"cast(null as {_TYPES[name]}) as {name}" for name in frame.columns if name in _TYPES)
    file = folder / COMPUTED / part(table, number)
    file.parent.mkdir(exist_ok=True)
    # for a file that is read a few times, and whole, smaller or with statistics costs more than it saves
    frame.cast(dict(con.sql(f"select {typed}").pl().schema)).write_parquet(
        file, compression="lz4", statistics=False, row_group_size=ROW_GROUP
    )
    con.execute(f"create or replace view {identifier(table)} as select * from {parquet(*stored(folder, table))}")


def stored(folder: Path, table: str) -> list[Path]:
    """The files of a table, in the order of slices."""
    return parts(folder / COMPUTED, table)
