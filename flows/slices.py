"""Some accounts at a time: what Polars computes of them never needs more memory than a slice of them does."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import polars as pl

from config.tables import ACCOUNT_FEATURES, ACCOUNT_SEGMENTS, VERDICT_STANDINGS
from flows.duck import literal

ROWS = 500_000

_TYPES = {column.name: column.type for column in (*ACCOUNT_SEGMENTS, *ACCOUNT_FEATURES, *VERDICT_STANDINGS)}


@dataclass(frozen=True)
class Slice:
    """Some of the accounts, with all their lines.

    Attributes:
        of_it: SQL that is true for a row of one of them.
        is_first: whether none comes before it.
    """

    of_it: str
    is_first: bool


def slices(con: duckdb.DuckDBPyConnection) -> Iterator[Slice]:
    """The accounts of `account_lines`, which is in their order, in slices of about `ROWS` of its rows."""
    bounds = con.execute(
        f"select distinct account_id from account_lines where rowid > 0 and rowid % {ROWS} = 0 order by account_id"
    ).fetchall()
    for low, high in pairwise([None, *(literal(account_id) for (account_id,) in bounds), None]):
        sides = [f"account_id >= {low}"] * (low is not None) + [f"account_id < {high}"] * (high is not None)
        yield Slice(" and ".join(sides) or "true", low is None)


def store(con: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame, part: Slice) -> None:
    """Makes a table of what was computed of a slice, in the published types, or adds it to that of those before."""
    columns = ", ".join(
        f"cast({name} as {_TYPES[name]}) as {name}" if name in _TYPES else name for name in frame.columns
    )
    con.register("frame", frame)
    begun = f"create or replace table {table} as" if part.is_first else f"insert into {table}"
    con.execute(f"{begun} select {columns} from frame")
    con.unregister("frame")
