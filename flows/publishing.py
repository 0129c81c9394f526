"""Publishing a sealed package: what each table of the warehouse keeps, and what the package puts in its place."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

import duckdb

from config.errors import WarehouseError
from config.tables import KEYS, PUBLISHED
from flows.duck import identifier, literal
from flows.history import goes_on
from flows.package import PACKAGED, Package, verified
from flows.warehouse import (
    LEDGER,
    SCHEMA,
    STORAGE_VERSION,
    as_publisher,
    copy_file,
    entries_of,
    exchange_file,
    faults_explained,
    has_ledger,
    opened,
    unattached,
    wals,
    written_anew,
)

HISTORY = "account_segment_history"

ERASED = ", erased"
"""What stands behind the hash of a publication since when rows of it were erased."""

SENTENCES = "reasons"
"""A column so long that zstd is quicker than to look for what its values share, and a third smaller."""

# rows of the package stay below 3 times the size of its Parquet files, as measured on text and on numbers
ROOM_PER_PACKAGED_BYTE = 3
ROOM_FOR_AN_EMPTY_WAREHOUSE = 16 * 1024**2


@dataclass(frozen=True)
class Published:
    """What became of a publication.

    Attributes:
        run_id: the run whose package it was.
        warehouse: the file.
        changed: False where the run had been published before, and nothing was done.
        rows: rows of each published table, without `runs`.
    """

    run_id: str
    warehouse: Path
    changed: bool
    rows: Mapping[str, int]


def publish(
    package_dir: Path,
    warehouse: Path,
    wait_seconds: float = 0,
    takes_later_days_back: bool = False,
    memory: str | None = None,
) -> Published:
    """Publishes a sealed package to a DuckDB file: all its tables and its ledger row become visible at once.

    A table whose key has `as_of` keeps the rows of earlier days, one whose key has `valid_from` what was before the day;
    every other table is replaced. A run that is in the ledger already is not published again.

    Args:
        package_dir: the sealed package.
        warehouse: the DuckDB file, made if it is missing.
        wait_seconds: how long to wait while another run publishes; 0 gives up at once.
        takes_later_days_back: for a day before the last one published, undo what was published for the days after it;
            without it such a day is refused.
        memory: most memory for DuckDB, such as 4GB; None leaves it DuckDB's own measure.

    Raises:
        Busy: another run publishes, or another program has the file open for writing.
        WarehouseError: the package is not what was sealed, does not go on from what is published, or the warehouse
            failed. Readers see no change.
    """
    live_path = warehouse.resolve()
    with faults_explained(live_path), unattached() as con:
        package = verified(con, package_dir)
    started_at = datetime.fromisoformat(str(package.run["started_at"]))
    with as_publisher(live_path, package.run_id, started_at, wait_seconds):
        changed = _published(package, live_path, takes_later_days_back, memory)
    return Published(package.run_id, live_path, changed, package.rows)


def erase(
    warehouse: Path,
    accounts: Iterable[str],
    batches: Iterable[tuple[str, str]],
    run_id: str,
    started_at: datetime,
    wait_seconds: float = 0,
    memory: str | None = None,
) -> None:
    """Takes all rows of accounts out of a warehouse, all at once, and leaves nothing of them in its free blocks.

    Args:
        warehouse: the DuckDB file.
        accounts: the accounts.
        batches: source and id of the landed batches with rows of theirs; all that is in quarantine of those is taken out.
        run_id: for those who have to wait.
        started_at: when that began, UTC.
        wait_seconds: how long to wait while a run publishes; 0 gives up at once.
        memory: most memory for DuckDB, such as 4GB; None leaves it DuckDB's own measure.

    Raises:
        Busy: a run publishes, or another program has the file open for writing.
        WarehouseError: the warehouse failed. Readers see no change.
    """
    live_path = warehouse.resolve()

    def without_them(live_file: BinaryIO | None, next_path: Path) -> None:
        if live_file:
            copy_file(live_file, live_path, next_path)
        with opened(next_path, read_only=False, memory=memory) as con:
            con.execute("begin")
            commands = erasing(accounts, batches)
            for name in commands.keys() & standing(con).keys():
                con.execute(commands[name])
            con.execute("commit")
            anew = literal(str(written_anew(next_path)))
            con.execute(f"attach {anew} as anew (storage_version {literal(_made_as(con))})")
            con.execute("copy from database warehouse to anew")
            con.execute("detach anew")
        shutil.copyfile(written_anew(next_path), next_path)

    with as_publisher(live_path, run_id, started_at, wait_seconds):
        exchange_file(live_path, 3 * live_path.stat().st_size, without_them)


def rows_found(warehouse: Path, accounts: Iterable[str]) -> int:
    """How many rows of accounts a warehouse has, those in quarantine not counted.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the file cannot be read.
    """
    with faults_explained(warehouse), opened(warehouse) as con:
        theirs = rows_of(accounts, standing(con))
        counts = (f"(select count(*) from {table(name)} where {condition})" for name, condition in theirs.items())
        return con.execute(f"select {' + '.join([*counts, '0'])}").fetchall()[0][0]


def standing(con: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """The tables that there are of those published, each with its columns: an earlier version may have made them."""
    found = con.execute(
        "select table_name, column_name from duckdb_columns() where database_name = 'warehouse' and schema_name = $schema",
        {"schema": SCHEMA},
    ).fetchall()
    return {
        name: {column for table_name, column in found if table_name == name}
        for name in {*PUBLISHED} & {each for each, _ in found}
    }


def erasing(accounts: Iterable[str], batches: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of each table the statement that erases accounts, see `erase`; that of the ledger marks its hashes, which are of other rows then."""
    listed = ", ".join(f"({literal(source)}, {literal(batch)})" for source, batch in [*batches, ("", "")])
    return {
        **{
            name: f"delete from {table(name)} where {condition}"
            for name, condition in rows_of(accounts, PUBLISHED).items()
        },
        "quarantine": f"delete from {table('quarantine')} where (source, batch) in ({listed})",
        "runs": f"update {LEDGER} set content_hash = content_hash || {literal(ERASED)} where content_hash not like {literal(f'%{ERASED}')}",
    }


def rows_of(accounts: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Of each of these tables that has rows of single accounts the condition that holds of those of some accounts."""
    listed = ", ".join(map(literal, accounts))
    return {
        name: f"account_id in ({listed})"
        for name in names
        if any(column.name == "account_id" for column in PUBLISHED[name])
    }


def _published(package: Package, live_path: Path, takes_later_days_back: bool, memory: str | None) -> bool:
    """Publishes under the lock; False where the ledger has the run already."""
    if live_path.exists() and _is_published(package, live_path):
        return False

    def change(live_file: BinaryIO | None, next_path: Path) -> None:
        if live_file:
            copy_file(live_file, live_path, next_path)
        _change(next_path, package, takes_later_days_back, memory)
        _refuse_difference(next_path, package, memory)

    exchange_file(live_path, _room_for(package, live_path), change)
    return True


def _is_published(package: Package, path: Path) -> bool:
    with opened(path) as con:
        return _has(con, package)


def _room_for(package: Package, live_path: Path) -> int:
    """The bytes that a copy of the live file takes with the rows of a package in it."""
    copied = sum(path.stat().st_size for path in (live_path, *wals(live_path)) if path.exists())
    return copied + ROOM_PER_PACKAGED_BYTE * package.size() + ROOM_FOR_AN_EMPTY_WAREHOUSE


def _has(con: duckdb.DuckDBPyConnection, package: Package) -> bool:
    """Whether the ledger has the run of the package."""
    if not has_ledger(con):
        return False
    found = con.execute(f"select content_hash from {LEDGER} where run_id = ?", [package.run_id]).fetchall()
    if found and found != [(package.run["content_hash"],)]:
        raise WarehouseError(
            f"package {package.directory}: run {package.run_id} was published before with other content."
            " Nothing was published. Repeat the run: it gets an id of its own."
        )
    return bool(found)


def _change(next_path: Path, package: Package, takes_later_days_back: bool, memory: str | None) -> None:
    """Puts the package into the copy, in one transaction."""
    as_of = str(package.run["as_of"])
    with opened(next_path, read_only=False, memory=memory) as con:
        con.execute("begin")
        con.execute(f"create schema if not exists {SCHEMA}")
        compressed = _compressed(con)
        for name in PUBLISHED:
            _create(con, name, compressed)
        _refuse_other_past(con, package, takes_later_days_back)
        for name in PUBLISHED:
            for command in taken_back(name, as_of):
                con.execute(command)
        _end_periods(con, package)
        for name in PACKAGED:
            con.execute(f"insert into {table(name)} by name select * from {package.relation(name)}")
        con.execute(
            f"insert into {table(HISTORY)} by name "
            "select account_id, line, as_of as valid_from, segment, because "
            f"from {package.relation('segment_changes')} where segment is not null"
        )
        _enter_in_ledger(con, package)
        con.execute("commit")
        con.execute("checkpoint")


def _refuse_other_past(con: duckdb.DuckDBPyConnection, package: Package, takes_later_days_back: bool) -> None:
    """Lets only a package in that goes on from what is published for the days before it."""
    as_of = date.fromisoformat(str(package.run["as_of"]))
    listed = entries_of(con)
    if listed and listed[0]["as_of"] > as_of and not takes_later_days_back:
        raise WarehouseError(
            f"package {package.directory}: {as_of} lies before {listed[0]['as_of']}, the last day published. Nothing was"
            " published. A backfill replays a day in the past and those after it."
        )
    continues = package.run["continues_run_id"]
    if not goes_on(listed, as_of, None if continues is None else str(continues)):
        raise WarehouseError(
            f"package {package.directory}: it goes on from another past than what is published of the days before {as_of}."
            " Nothing was published. Repeat the run."
        )


def taken_back(name: str, as_of: str, also: str = "true") -> list[str]:
    """The statements that undo what a table has of a day and of those after it; none for one that keeps no earlier days.

    Args:
        name: of the table.
        as_of: the day.
        also: SQL that holds of the rows to undo, which it calls `old`.
    """
    day, first = day_column(name), f"date {literal(as_of)}"
    commands = [f"delete from {table(name)} as old where {day} >= {first} and {also}"] * (day is not None)
    if day == "valid_from":
        commands.append(f"update {table(name)} as old set valid_to = null where valid_to >= {first} - 1 and {also}")
    return commands


def _end_periods(con: duckdb.DuckDBPyConnection, package: Package) -> None:
    """Ends, the day before, the periods of segments and standings that the package changes."""
    changes, standings = package.relation("segment_changes"), package.relation("verdict_standings")
    gone = f"select account_id, line from {changes} where segment is null"
    for name, changed in (
        (HISTORY, f"select account_id, line from {changes}"),
        ("verdict_standings", f"select account_id, line from {standings} union {gone}"),
    ):
        con.execute(
            f"update {table(name)} as period set valid_to = cast(? as date) - 1 from ({changed}) as changed "
            "where period.valid_to is null and period.account_id = changed.account_id and period.line = changed.line",
            [package.run["as_of"]],
        )


def _compressed(con: duckdb.DuckDBPyConnection) -> str:
    """How `SENTENCES` is declared: in a file that others made as any column, for it may be older than zstd."""
    return " using compression 'zstd'" * (_made_as(con) == STORAGE_VERSION)


def _made_as(con: duckdb.DuckDBPyConnection) -> str:
    """The storage version that the file was made with."""
    [[version]] = con.execute(
        "select tags['storage_version'] from duckdb_databases() where database_name = 'warehouse'"
    ).fetchall()
    return version.rstrip("+")


def _create(con: duckdb.DuckDBPyConnection, name: str, compressed: str) -> None:
    """Makes a table with this version's columns; one that keeps rows gets those that it did not have yet."""
    columns = PUBLISHED[name]
    declared = ", ".join(
        f"{identifier(column.name)} {column.type}{' not null' if column.required else ''}"
        + compressed * (column.name == SENTENCES)
        for column in columns
    )
    if name == "runs" or day_column(name):
        con.execute(f"create table if not exists {table(name)} ({declared})")
        for column in columns:
            con.execute(f"alter table {table(name)} add column if not exists {identifier(column.name)} {column.type}")
    else:
        con.execute(f"create or replace table {table(name)} ({declared})")
    for column in columns:
        comment = literal(f"{column.meaning} ({column.unit})")
        con.execute(f"comment on column {table(name)}.{identifier(column.name)} is {comment}")


def _enter_in_ledger(con: duckdb.DuckDBPyConnection, package: Package) -> None:
    # later than any other even if the clock was set back: the latest publication is the one that readers see
    published_at = con.execute(
        f"select greatest(cast(? as timestamp), max(published_at) + interval 1 microsecond) from {LEDGER}",
        [datetime.now(UTC).replace(tzinfo=None)],
    ).fetchall()[0][0]
    columns = PUBLISHED["runs"]
    names = ", ".join(identifier(column.name) for column in columns)
    values = ", ".join(f"cast(${column.name} as {column.type})" for column in columns)
    con.execute(f"insert into {LEDGER} ({names}) values ({values})", package.run | {"published_at": published_at})


def _refuse_difference(next_path: Path, package: Package, memory: str | None) -> None:
    """Reads the copy back on a new connection: in DuckDB 2.0 a commit may succeed and have rolled back."""
    with opened(next_path, memory=memory) as con:
        if wals(next_path) or not _has(con, package):
            raise _lost(next_path, f"the ledger has no row of run {package.run_id}")
        for name in PACKAGED:
            of_the_day = _of_the_day(name)
            columns = ", ".join(identifier(column.name) for column in PUBLISHED[name])
            content = f"select count(*), sum(hash({columns})) from"
            bound = {"as_of": package.run["as_of"]} if of_the_day else {}
            held_rows = con.execute(f"{content} {table(name)} {of_the_day}", bound).fetchall()
            if held_rows != con.execute(f"{content} {package.relation(name)}").fetchall():
                raise _lost(next_path, f"{name} has {held_rows[0][0]:,} rows, the package {package.rows[name]:,}")


def day_column(name: str) -> str | None:
    """The column by which a table keeps the rows of earlier days; None where all of them are of the last."""
    return next((key for key in ("as_of", "valid_from") if key in KEYS[name]), None)


def _of_the_day(name: str) -> str:
    """The condition on a day's rows in a table that keeps earlier days; of another table all rows are of the day."""
    day = day_column(name)
    return f"where {day} = cast($as_of as date)" if day else ""


def table(name: str) -> str:
    """A published table, as SQL."""
    return f"{SCHEMA}.{identifier(name)}"


def _lost(next_path: Path, fault: str) -> WarehouseError:
    return WarehouseError(
        f"warehouse {next_path.with_suffix('')}: read back after the commit, {fault}. Nothing of it was made"
        " visible. Publish again, and report it if it happens twice."
    )
