"""What a warehouse remembers of the days before one: the standings that a night goes on from, and the runs that left them."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from flows.warehouse import attached, exists, opened, stands
from transforms.holding import NO_STANDINGS, STANDING

LAST_DAYS = 30


STANDINGS_BEFORE = (
    f"select account_id, line, {', '.join(STANDING)} from warehouse.rapport.verdict_standings "
    "where valid_from < $as_of and coalesce(valid_to >= $as_of - 1, true)"
)

DAY_BEFORE = (
    f"select max(as_of) from warehouse.rapport.runs where as_of < $as_of and {stands('warehouse.')} having count(*) > 0"
)


def standings_before(warehouse: Path, as_of: date) -> pl.DataFrame:
    """The standing of each account x line and account as a whole, as the last day published before one left it.

    What was published for that day or later does not count.
    """
    if not exists(warehouse):
        return NO_STANDINGS
    with opened(warehouse) as con:
        return con.sql(STANDINGS_BEFORE, params={"as_of": as_of}).pl()


def keep_standings_before(con: duckdb.DuckDBPyConnection, warehouse: Path, as_of: date) -> None:
    """Makes `standings_before` of the same rows on a connection, and `day_before`, which has the day that left them."""
    con.execute("create or replace table day_before (as_of date)")
    if exists(warehouse):
        with attached(con, warehouse):
            con.execute(f"create or replace table standings_before as {STANDINGS_BEFORE}", {"as_of": as_of})
            con.execute(f"insert into day_before {DAY_BEFORE}", {"as_of": as_of})
    else:
        con.register("none", NO_STANDINGS)
        con.execute("create or replace table standings_before as select * from none")
        con.unregister("none")


def runs_before(warehouse: Path, as_of: date) -> list[dict[str, Any]]:
    """The ledger's row of the last publication of each of the 30 days published before one, the latest day first."""
    if not exists(warehouse):
        return []
    with opened(warehouse) as con:
        found = con.sql(
            f"select * from rapport.runs where as_of < $as_of and {stands()} "
            "qualify row_number() over (partition by as_of order by published_at desc) = 1 "
            "order by as_of desc limit $most",
            params={"as_of": as_of, "most": LAST_DAYS},
        )
        return found.pl().to_dicts()


def goes_on(listed: Sequence[Mapping[str, Any]], as_of: date, continues: str | None) -> bool:
    """Whether a result goes on from what is published of the days before its own.

    A run that was rolled back to is published under another name.

    Args:
        listed: the ledger, the last publication first, as `entries_of` gives it.
        as_of: the result's day.
        continues: the run that it goes on from, by either name; None for one that goes on from nothing.
    """
    results = {each["run_id"]: each.get("rolled_back_to") or each["run_id"] for each in listed}
    earlier = [each for each in listed if each["stands"] and each["as_of"] < as_of]
    if not earlier:
        return continues is None
    before = max(earlier, key=lambda each: each["as_of"])
    return results.get(continues) == results[before["run_id"]]


def published_hashes(warehouse: Path) -> dict[date, str]:
    """The days that a warehouse has, in order, each with the content hash of its last publication."""
    if not exists(warehouse):
        return {}
    with opened(warehouse) as con:
        found = con.execute(
            "select as_of, arg_max(content_hash, published_at) from rapport.runs "
            f"where {stands()} group by as_of order by as_of"
        ).fetchall()
    return dict(found)
