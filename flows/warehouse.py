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
from collections.abc import Generator, Mapping
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


def publish(package_dir: Path, warehouse: Path, wait_seconds: float = 0) -> Published:
    """Publishes a sealed package to a DuckDB file: all its tables and its ledger row become visible at once.

    A table whose key has `as_of` keeps the rows of other days, every other table is replaced. A run that is
    in the ledger already is not published again.

    Args:
        package_dir: the sealed package.
        warehouse: the DuckDB file, made if it is missing.
        wait_seconds: how long to wait while another run publishes; 0 gives up at once.

    Raises:
        Busy: another run publishes, or another program has the file open for writing.
        WarehouseError: the package is not what was sealed, or the warehouse failed. Readers see no change.
    """
    live_path = warehouse.resolve()
    with _faults_explained(live_path):
        with _unattached() as con:
            package = verified(con, package_dir)
        live_path.parent.mkdir(parents=True, exist_ok=True)
        started_at = datetime.fromisoformat(str(package.run["started_at"]))
        with held(_beside(live_path, ".lock"), "the warehouse", package.run_id, started_at, wait_seconds):
            changed = _published(package, live_path)
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


def _published(package: Package, live_path: Path) -> bool:
    """Publishes under the lock; False where the ledger has the run already."""
    next_path = _beside(live_path, ".next")
    _clear(live_path)
    _disown_unusable_wal(live_path)
    if live_path.exists() and _is_published(package, live_path):
        return False
    with _no_writer(live_path) as live_file:
        try:
            _refuse_small_room(package, live_path)
            if live_file:
                _copy(live_file, live_path, next_path)
            _change(next_path, package)
            _refuse_difference(next_path, package)
            sync(next_path)
            for wal in _wals(live_path):
                wal.replace(_beside(wal, ".aside"))
            next_path.replace(live_path)
            sync(live_path.parent)
        finally:
            _clear(live_path)
    return True


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


def _refuse_small_room(package: Package, live_path: Path) -> None:
    copied = sum(path.stat().st_size for path in (live_path, *_wals(live_path)) if path.exists())
    packaged = sum(package.file(name).stat().st_size for name in PACKAGED)
    needed = copied + ROOM_PER_PACKAGED_BYTE * packaged + ROOM_FOR_AN_EMPTY_WAREHOUSE
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


def _change(next_path: Path, package: Package) -> None:
    """Puts the package into the copy, in one transaction."""
    with opened(next_path, read_only=False) as con:
        con.execute("begin")
        con.execute(f"create schema if not exists {SCHEMA}")
        for name in PUBLISHED:
            _create(con, name)
        for name in PACKAGED:
            if _keeps_other_days(name):
                con.execute(f"delete from {_table(name)} where as_of = cast(? as date)", [package.run["as_of"]])
            con.execute(f"insert into {_table(name)} by name select * from {package.relation(name)}")
        _enter_in_ledger(con, package)
        con.execute("commit")
        con.execute("checkpoint")


def _create(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Makes a table with this version's columns; one that keeps rows gets those that it did not have yet."""
    columns = PUBLISHED[name]
    declared = ", ".join(
        f"{identifier(column.name)} {column.type}{' not null' if column.required else ''}" for column in columns
    )
    if name == "runs" or _keeps_other_days(name):
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
            of_the_day = "where as_of = cast($as_of as date)" if _keeps_other_days(name) else ""
            columns = ", ".join(identifier(column.name) for column in PUBLISHED[name])
            content = f"select count(*), sum(hash({columns})) from"
            bound = {"as_of": package.run["as_of"]} if of_the_day else {}
            held_rows = con.execute(f"{content} {_table(name)} {of_the_day}", bound).fetchall()
            if held_rows != con.execute(f"{content} {package.relation(name)}").fetchall():
                raise _lost(next_path, f"{name} has {held_rows[0][0]:,} rows, the package {package.rows[name]:,}")


def _ledger_exists(con: duckdb.DuckDBPyConnection) -> bool:
    try:
        con.execute(f"select 1 from {LEDGER} limit 0")
    except duckdb.CatalogException:
        return False
    return True


def _keeps_other_days(name: str) -> bool:
    return "as_of" in KEYS[name]


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
