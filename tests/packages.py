"""Small sealed packages for tests: every table of a package carries its generation, so that a mixture shows."""

from datetime import date, datetime
from pathlib import Path

import duckdb

from config.tables import PUBLISHED, Column
from flows import package

AS_OF = date(2026, 1, 31)
ROWS = {
    "account_segments": 10,
    "segment_changes": 4,
    "account_features": 10,
    "segment_summary": 3,
    "verdict_standings": 5,
    "quarantine": 2,
}


def ledger_row(run_id: str, as_of: date = AS_OF, continues: str | None = None) -> dict[str, object]:
    return {
        "run_id": run_id,
        "business": "firm",
        "as_of": as_of,
        "known_at": datetime(2026, 2, 1, 6),
        "started_at": datetime(2026, 2, 1, 7),
        "config_hash": "c0",
        "input_hash": "1f",
        "ruler_version": "2026.1",
        "models": "{}",
        "continues_run_id": continues,
        "rolled_back_to": None,
        "changed_accounts": 0,
        "changed_share": None,
        "accepted_change": None,
        "code_version": "0.1.0",
        "accounts": 5,
        "account_lines": 5,
        "row_counts": "{}",
        "gates": "{}",
    }


def value(column: Column, run_id: str, generation: int, as_of: date) -> str:
    """SQL of a column's value in row `i`."""
    match column.name:
        case "account_id" | "stage" | "batch":
            return "'A' || i"
        case "run_id":
            return f"'{run_id}'"
        case "as_of" | "valid_from":
            return f"date '{as_of}'"
        case "valid_to":
            return "null"
        case "position":
            return "i"
    match column.type:
        case "VARCHAR":
            return f"'generation {generation}'"
        case "DATE":
            return f"date '2025-01-01' + {generation}"
        case _:
            return str(generation)


def tables(con: duckdb.DuckDBPyConnection, run_id: str, generation: int, as_of: date = AS_OF) -> dict[str, str]:
    """Makes the tables of a generation, which has as many rows more as its number says; name to name."""
    for name, rows in ROWS.items():
        columns = ", ".join(
            f"cast({value(column, run_id, generation, as_of)} as {column.type}) as {column.name}"
            for column in PUBLISHED[name]
        )
        con.execute(f"create or replace table {name} as select {columns} from range({rows + generation}) as t (i)")
    return {name: name for name in ROWS}


def sealed(directory: Path, run_id: str, generation: int, as_of: date = AS_OF, continues: str | None = None) -> Path:
    with duckdb.connect() as con:
        package.seal(con, directory, ledger_row(run_id, as_of, continues), tables(con, run_id, generation, as_of))
    return directory


# what a reader of the warehouse sees: the generation that each table says it is of, and its number of rows less that
# of generation 0, which is the generation again
SEEN = """
    select
        (select run_id from rapport.runs order by published_at desc limit 1),
        (select array_agg(distinct run_id) from rapport.account_segments),
        (select array_agg(distinct generation) from (select unnest(array[
            (select min(treatment) from rapport.account_segments),
            'generation ' || (select min(tenure_days) from rapport.account_features),
            'generation ' || (select min(accounts) from rapport.segment_summary),
            (select min(reason) from rapport.quarantine),
            (select min(because) from rapport.segment_changes),
            (select min(segment) from rapport.account_segment_history where valid_to is null),
            (select min(held_segment) from rapport.verdict_standings where valid_to is null),
            'generation ' || ((select count(*) from rapport.segment_changes) - 4),
            'generation ' || ((select count(*) from rapport.account_segment_history where valid_to is null) - 4),
            'generation ' || ((select count(*) from rapport.verdict_standings where valid_to is null) - 5),
            'generation ' || ((select count(*) from rapport.account_segments) - 10),
            'generation ' || ((select count(*) from rapport.account_features) - 10),
            'generation ' || ((select count(*) from rapport.segment_summary) - 3),
            'generation ' || ((select count(*) from rapport.quarantine) - 2)
        ]) as generation) as generations)
"""


def seen(warehouse: Path) -> tuple[str, list[str], list[str]]:
    """Latest run in the ledger, runs in account_segments, generations in all tables, as another program reads them."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return con.execute(SEEN).fetchall()[0]


def whole(run_id: str, generation: int) -> tuple[str, list[str], list[str]]:
    """What is seen where the warehouse holds that generation alone."""
    return run_id, [run_id], [f"generation {generation}"]
