"""The DuckDB warehouse: one file that readers always find whole, the old publication or the new one.

Nobody ever writes into the live file. A publisher copies it, changes the copy, reads that back on a new
connection and gives it the live file's name, one operation of the file system. Beside the warehouse may lie:

    <name>.lock          who publishes; the operating system frees it when the process ends
    <name>.next          the copy; cleared by the next publisher when one was killed
    <name>.wal           unfinished writes of another program; taken into the copy
    <name>.wal.aside     the same, while the copy that has them goes live
    <name>.wal.unusable  writes that do not belong to the file and kept everybody from opening it
"""

import fcntl
import logging
import os
import shutil
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from config.errors import Busy, ConfigurationError, WarehouseError
from config.settings import Business, DuckdbWarehouse
from config.tables import KEYS, PUBLISHED
from flows.duck import identifier, literal
from flows.lock import held
from flows.package import PACKAGED, Package, sync, verified

SCHEMA = "rapport"
LEDGER = f"{SCHEMA}.runs"
HISTORY = "account_segment_history"
STORAGE_VERSION = "v1.5.0"  # DuckDB 1.5 clients can still read it
WAL_SUFFIXES = (".wal", ".wal.checkpoint", ".wal.recovery")
COPY_BYTES = 4 * 1024**2

# rows of the package stay below 3 times the size of its Parquet files, as measured on text and on numbers
ROOM_PER_PACKAGED_BYTE = 3
ROOM_FOR_AN_EMPTY_WAREHOUSE = 16 * 1024**2

log = logging.getLogger(__name__)


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
    package_dir: Path, warehouse: Path, wait_seconds: float = 0, takes_later_days_back: bool = False
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

    Raises:
        Busy: another run publishes, or another program has the file open for writing.
        WarehouseError: the package is not what was sealed, does not go on from what is published, or the warehouse
            failed. Readers see no change.
    """
    live_path = warehouse.resolve()
    with _faults_explained(live_path):
        with _unattached() as con:
            package = verified(con, package_dir)
        live_path.parent.mkdir(parents=True, exist_ok=True)
        started_at = datetime.fromisoformat(str(package.run["started_at"]))
        with held(_beside(live_path, ".lock"), "the warehouse", package.run_id, started_at, wait_seconds):
            _recover(live_path)
            changed = _published(package, live_path, takes_later_days_back)
    return Published(package.run_id, live_path, changed, package.rows)


def location(business: Business) -> Path:
    """The DuckDB file that a business publishes to.

    Raises:
        ConfigurationError: the business file names a Postgres database, which cannot be published to yet.
    """
    if not isinstance(business.warehouse, DuckdbWarehouse):
        raise ConfigurationError(
            f"warehouse: kind {business.warehouse.kind} cannot be published to yet. Nothing was run. Name a DuckDB file: "
            "{kind: duckdb, path: warehouse.duckdb}"
        )
    return business.warehouse.path


def live(warehouse: Path) -> dict[str, Any] | None:
    """The ledger's row of the publication that readers see now: the latest by `published_at`.

    Args:
        warehouse: the DuckDB file.

    Returns:
        The columns of `runs`, times in UTC without a zone; None where nothing was published yet.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the file cannot be read.
    """
    if not warehouse.exists():
        return None
    with _faults_explained(warehouse), opened(warehouse) as con:
        if not _ledger_exists(con):
            return None
        cursor = con.execute(f"select * from {LEDGER} order by published_at desc limit 1")
        names = [name for name, *_ in cursor.description]
        return next((dict(zip(names, row, strict=True)) for row in cursor.fetchall()), None)


@contextmanager
def opened(warehouse: Path, read_only: bool = True) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection in UTC whose default database is the file as it is at this instant.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the file cannot be opened.
    """
    # attached, not connected to: a process that has the replaced file open would be handed that one again
    with _unattached() as con:
        con.execute(f"set temp_directory = {literal(str(_beside(warehouse, '.tmp')))}")
        created_as = "" if warehouse.exists() else f", storage_version {literal(STORAGE_VERSION)}"
        try:
            con.execute(f"attach {literal(str(warehouse))} as warehouse (read_only {read_only}{created_as})")
        except duckdb.Error as error:
            if "Could not set lock" in str(error):
                raise _open_elsewhere(warehouse) from error
            raise WarehouseError(
                f"warehouse {warehouse}: it cannot be opened ({_first_line(error)}). Nothing was changed."
                " Put back a good copy, or move the file away and publish again."
            ) from error
        con.execute("use warehouse")
        yield con


@contextmanager
def _unattached() -> Generator[duckdb.DuckDBPyConnection]:
    offline: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(":memory:", config=offline) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("set enable_progress_bar = false")
        yield con


@contextmanager
def _faults_explained(warehouse: Path) -> Generator[None]:
    try:
        yield
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(
            f"warehouse {warehouse}: {_first_line(error)}. Readers have the last whole publication."
            " Put that right and try again."
        ) from error


def copied(warehouse: Path, copy: Path) -> None:
    """Copies a warehouse, as its readers see it, to be changed in private; an earlier copy is replaced.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the copy failed.
    """
    with _faults_explained(warehouse):
        copy.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (copy, *_wals(copy)):
            leftover.unlink(missing_ok=True)
        with _no_writer(warehouse) as live_file:
            if live_file:
                _copy(live_file, warehouse, copy)


def exchange(copy: Path, warehouse: Path, run_id: str, started_at: datetime, wait_seconds: float = 0) -> None:
    """Makes a copy that was changed in private the warehouse: all its days become visible at once.

    Args:
        copy: the changed copy, which stays.
        warehouse: the DuckDB file, made if it is missing.
        run_id: the run that does it, for those who have to wait.
        started_at: when that began, UTC.
        wait_seconds: how long to wait while another run publishes; 0 gives up at once.

    Raises:
        Busy: another run publishes, or another program has the file open for writing.
        WarehouseError: somebody published since the copy was made, or the warehouse failed. Readers see no change.
    """
    live_path = warehouse.resolve()

    def take(_: BinaryIO | None, next_path: Path) -> None:
        missing = _run_ids(live_path) - _run_ids(copy)
        if missing:
            raise WarehouseError(
                f"warehouse {live_path}: run {min(missing)} published to it since {copy} was made of it."
                " Nothing was changed. Start again."
            )
        shutil.copyfile(copy, next_path)

    with _faults_explained(live_path):
        live_path.parent.mkdir(parents=True, exist_ok=True)
        with held(_beside(live_path, ".lock"), "the warehouse", run_id, started_at, wait_seconds):
            _recover(live_path)
            _exchanged(live_path, copy.stat().st_size, take)


def _recover(live_path: Path) -> None:
    """Puts right what a publisher that was killed, or another program, left beside the live file."""
    _clear(live_path)
    _disown_unusable_wal(live_path)


def _published(package: Package, live_path: Path, takes_later_days_back: bool) -> bool:
    """Publishes under the lock; False where the ledger has the run already."""
    if live_path.exists() and _is_published(package, live_path):
        return False

    def change(live_file: BinaryIO | None, next_path: Path) -> None:
        if live_file:
            _copy(live_file, live_path, next_path)
        _change(next_path, package, takes_later_days_back)
        _refuse_difference(next_path, package)

    _exchanged(live_path, _room_for(package, live_path), change)
    return True


def _exchanged(live_path: Path, needed: int, make: Callable[[BinaryIO | None, Path], None]) -> None:
    """Gives the live file's name to another one, which `make` makes of it."""
    next_path = _beside(live_path, ".next")
    with _no_writer(live_path) as live_file:
        try:
            _refuse_small_room(needed, live_path)
            make(live_file, next_path)
            sync(next_path)
            for wal in _wals(live_path):
                wal.replace(_beside(wal, ".aside"))
            next_path.replace(live_path)
            sync(live_path.parent)
        finally:
            _clear(live_path)


def _clear(live_path: Path) -> None:
    """Clears what a publisher left behind; a WAL moved aside goes back if its copy never went live."""
    next_path = _beside(live_path, ".next")
    for suffix in WAL_SUFFIXES:
        wal = _beside(live_path, suffix)
        aside = _beside(wal, ".aside")
        if aside.exists() and next_path.exists() and not wal.exists():
            aside.replace(wal)
        aside.unlink(missing_ok=True)
    for leftover in (*_wals(next_path), next_path):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(_beside(next_path, ".tmp"), ignore_errors=True)


def _disown_unusable_wal(live_path: Path) -> None:
    """Moves writes away that do not belong to the file: while they lie beside it nobody can open it."""
    wals = _wals(live_path)
    if not wals or _opens(live_path):
        return
    for wal in wals:
        wal.replace(_beside(wal, ".unusable"))
    if live_path.exists() and not _opens(live_path):
        for wal in wals:
            _beside(wal, ".unusable").replace(wal)
        return
    log.warning(
        "warehouse %s: %s does not belong to it and kept it from being opened. It was moved to %s.unusable."
        " Delete that if nobody misses it.",
        live_path,
        wals[0].name,
        wals[0].name,
    )


def _opens(path: Path) -> bool:
    try:
        with opened(path):
            return True
    except WarehouseError:
        return False


def _is_published(package: Package, path: Path) -> bool:
    with opened(path) as con:
        return _has(con, package)


@contextmanager
def _no_writer(live_path: Path) -> Generator[BinaryIO | None]:
    """The live file, locked so that no other program begins to write to it; None where there is none.

    The lock is the one that DuckDB's readers take. It is gone when this process closes any descriptor of the
    file: until then the file is read by this one only.
    """
    if not live_path.exists():
        yield None
        return
    with live_path.open("rb") as live_file:
        try:
            fcntl.lockf(live_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _open_elsewhere(live_path) from error
        yield live_file


def _room_for(package: Package, live_path: Path) -> int:
    """The bytes that a copy of the live file takes with the rows of a package in it."""
    copied = sum(path.stat().st_size for path in (live_path, *_wals(live_path)) if path.exists())
    packaged = sum(package.file(name).stat().st_size for name in PACKAGED)
    return copied + ROOM_PER_PACKAGED_BYTE * packaged + ROOM_FOR_AN_EMPTY_WAREHOUSE


def _refuse_small_room(needed: int, live_path: Path) -> None:
    free = shutil.disk_usage(live_path.parent).free
    if free < needed:
        raise WarehouseError(
            f"warehouse {live_path}: {_megabytes(free)} are free on its disk, and publishing needs"
            f" {_megabytes(needed)} for a copy and the new rows. Nothing was changed."
            " Make room and publish again."
        )


def _copy(live_file: BinaryIO, live_path: Path, next_path: Path) -> None:
    """Copies the live file, with the unfinished writes of another program where it has some."""
    with next_path.open("xb") as next_file:
        shutil.copyfileobj(live_file, next_file, COPY_BYTES)
    next_path.chmod(stat.S_IMODE(os.fstat(live_file.fileno()).st_mode) | stat.S_IWUSR)
    for wal in _wals(live_path):
        shutil.copyfile(wal, _beside(next_path, wal.name.removeprefix(live_path.name)))


def _has(con: duckdb.DuckDBPyConnection, package: Package) -> bool:
    """Whether the ledger has the run of the package."""
    if not _ledger_exists(con):
        return False
    found = con.execute(f"select content_hash from {LEDGER} where run_id = ?", [package.run_id]).fetchall()
    if found and found != [(package.run["content_hash"],)]:
        raise WarehouseError(
            f"package {package.directory}: run {package.run_id} was published before with other content."
            " Nothing was published. Repeat the run: it gets an id of its own."
        )
    return bool(found)


def _change(next_path: Path, package: Package, takes_later_days_back: bool) -> None:
    """Puts the package into the copy, in one transaction."""
    as_of = str(package.run["as_of"])
    with opened(next_path, read_only=False) as con:
        con.execute("begin")
        con.execute(f"create schema if not exists {SCHEMA}")
        for name in PUBLISHED:
            _create(con, name)
        _refuse_other_past(con, package, takes_later_days_back)
        for name in PUBLISHED:
            if _keeps_earlier_days(name):
                _take_back(con, name, as_of)
        _end_periods(con, package)
        for name in PACKAGED:
            con.execute(f"insert into {_table(name)} by name select * from {package.relation(name)}")
        con.execute(
            f"insert into {_table(HISTORY)} by name "
            "select account_id, line, as_of as valid_from, segment, because "
            f"from {package.relation('segment_changes')} where segment is not null"
        )
        _enter_in_ledger(con, package)
        con.execute("commit")
        con.execute("checkpoint")


def _refuse_other_past(con: duckdb.DuckDBPyConnection, package: Package, takes_later_days_back: bool) -> None:
    """Lets only a package in that goes on from what is published for the days before it."""
    as_of = package.run["as_of"]
    latest = con.execute(f"select as_of from {LEDGER} order by published_at desc limit 1").fetchall()
    if latest and str(latest[0][0]) > str(as_of) and not takes_later_days_back:
        raise WarehouseError(
            f"package {package.directory}: {as_of} lies before {latest[0][0]}, the last day published. Nothing was"
            " published. A backfill replays a day in the past and those after it."
        )
    before = con.execute(
        f"select run_id from {LEDGER} where as_of < cast(? as date) order by as_of desc, published_at desc limit 1",
        [as_of],
    ).fetchall()
    expected = [(package.run["continues_run_id"],)] if package.run["continues_run_id"] else []
    if before != expected:
        raise WarehouseError(
            f"package {package.directory}: other days were published since it was computed. Nothing was published."
            " Repeat the run."
        )


def _take_back(con: duckdb.DuckDBPyConnection, name: str, as_of: str) -> None:
    """Undoes what a table that keeps earlier days has of a day and of those after it."""
    day = "as_of" if "as_of" in KEYS[name] else "valid_from"
    con.execute(f"delete from {_table(name)} where {day} >= cast(? as date)", [as_of])
    if day == "valid_from":
        con.execute(f"update {_table(name)} set valid_to = null where valid_to >= cast(? as date) - 1", [as_of])


def _end_periods(con: duckdb.DuckDBPyConnection, package: Package) -> None:
    """Ends, the day before, the periods of segments and standings that the package changes."""
    changes, standings = package.relation("segment_changes"), package.relation("verdict_standings")
    gone = f"select account_id, line from {changes} where segment is null"
    for name, changed in (
        (HISTORY, f"select account_id, line from {changes}"),
        ("verdict_standings", f"select account_id, line from {standings} union {gone}"),
    ):
        con.execute(
            f"update {_table(name)} as period set valid_to = cast(? as date) - 1 from ({changed}) as changed "
            "where period.valid_to is null and period.account_id = changed.account_id and period.line = changed.line",
            [package.run["as_of"]],
        )


def _create(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Makes a table with this version's columns; one that keeps rows gets those that it did not have yet."""
    columns = PUBLISHED[name]
    declared = ", ".join(
        f"{identifier(column.name)} {column.type}{' not null' if column.required else ''}" for column in columns
    )
    if name == "runs" or _keeps_earlier_days(name):
        con.execute(f"create table if not exists {_table(name)} ({declared})")
        for column in columns:
            con.execute(f"alter table {_table(name)} add column if not exists {identifier(column.name)} {column.type}")
    else:
        con.execute(f"create or replace table {_table(name)} ({declared})")
    for column in columns:
        comment = literal(f"{column.meaning} ({column.unit})")
        con.execute(f"comment on column {_table(name)}.{identifier(column.name)} is {comment}")


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


def _refuse_difference(next_path: Path, package: Package) -> None:
    """Reads the copy back on a new connection: in DuckDB 2.0 a commit may succeed and have rolled back."""
    with opened(next_path) as con:
        if _wals(next_path) or not _has(con, package):
            raise _lost(next_path, f"the ledger has no row of run {package.run_id}")
        for name in PACKAGED:
            of_the_day = _of_the_day(name)
            columns = ", ".join(identifier(column.name) for column in PUBLISHED[name])
            content = f"select count(*), sum(hash({columns})) from"
            bound = {"as_of": package.run["as_of"]} if of_the_day else {}
            held_rows = con.execute(f"{content} {_table(name)} {of_the_day}", bound).fetchall()
            if held_rows != con.execute(f"{content} {package.relation(name)}").fetchall():
                raise _lost(next_path, f"{name} has {held_rows[0][0]:,} rows, the package {package.rows[name]:,}")


def exists(warehouse: Path) -> bool:
    """Whether a warehouse has a publication."""
    return live(warehouse) is not None


def _run_ids(warehouse: Path) -> set[str]:
    if not exists(warehouse):
        return set()
    with opened(warehouse) as con:
        return {run_id for (run_id,) in con.execute(f"select run_id from {LEDGER}").fetchall()}


def _ledger_exists(con: duckdb.DuckDBPyConnection) -> bool:
    try:
        con.execute(f"select 1 from {LEDGER} limit 0")
    except duckdb.CatalogException:
        return False
    return True


def _keeps_earlier_days(name: str) -> bool:
    return bool({"as_of", "valid_from"} & set(KEYS[name]))


def _of_the_day(name: str) -> str:
    """The condition on a day's rows in a table that keeps earlier days; of another table all rows are of the day."""
    day = next((key for key in ("as_of", "valid_from") if key in KEYS[name]), None)
    return f"where {day} = cast($as_of as date)" if day else ""


def _table(name: str) -> str:
    return f"{SCHEMA}.{identifier(name)}"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _wals(path: Path) -> list[Path]:
    return [wal for wal in (_beside(path, suffix) for suffix in WAL_SUFFIXES) if wal.exists()]


def _open_elsewhere(path: Path) -> Busy:
    return Busy(
        f"another program has the warehouse {path} open for writing. Nothing was changed."
        " Close it there, or open it there for reading only."
    )


def _lost(next_path: Path, fault: str) -> WarehouseError:
    return WarehouseError(
        f"warehouse {next_path.with_suffix('')}: read back after the commit, {fault}. Nothing of it was made"
        " visible. Publish again, and report it if it happens twice."
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
