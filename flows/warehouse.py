"""The DuckDB warehouse: one file that readers always find whole, the old publication or the new one.

Nobody ever writes into the live file. A publisher copies it, changes the copy, reads that back on a new
connection and gives it the live file's name, one operation of the file system. Beside the warehouse may lie:

    <name>.lock          who publishes; the operating system frees it when the process ends
    <name>.next          the copy; cleared by the next publisher when one was killed
    <name>.next.anew     the copy without what was erased from it; cleared likewise
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
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from config.errors import Busy, ConfigurationError, WarehouseError
from config.settings import Business, DuckdbWarehouse, Warehouse
from flows.disk import sync
from flows.duck import is_open_elsewhere, literal, reused, started
from flows.lock import held

SCHEMA = "rapport"
LEDGER = f"{SCHEMA}.runs"
LEVEL_FILE = "warehouse.duckdb"
"""What a Postgres database is brought level with."""
STORAGE_VERSION = "v1.5.0"  # DuckDB 1.5 clients can still read it
WAL_SUFFIXES = (".wal", ".wal.checkpoint", ".wal.recovery")
COPY_BYTES = 4 * 1024**2

log = logging.getLogger(__name__)


def location(business: Business) -> Path:
    """The DuckDB file that a business publishes to; where the warehouse is in Postgres, the state's own one."""
    return business.warehouse.path if isinstance(business.warehouse, DuckdbWarehouse) else business.state / LEVEL_FILE


def place(warehouse: Warehouse) -> str:
    """Where a warehouse is, as people are told."""
    if isinstance(warehouse, DuckdbWarehouse):
        return str(warehouse.path)
    return f"postgres {warehouse.database} on {warehouse.host}, port {warehouse.port}"


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
    with faults_explained(warehouse), opened(warehouse) as con:
        if not has_ledger(con):
            return None
        cursor = con.execute(f"select * from {LEDGER} order by published_at desc limit 1")
        names = [name for name, *_ in cursor.description]
        return next((dict(zip(names, row, strict=True)) for row in cursor.fetchall()), None)


def require_own(present: Mapping[str, Any] | None, business: Business) -> None:
    """Makes sure that no other business publishes to a business's warehouse: each would take away the other's rows.

    Args:
        present: the ledger's row of what readers see now, see `live`.
        business: who is to publish.

    Raises:
        ConfigurationError: another one does.
    """
    owner = present and present.get("business")
    if owner not in (None, business.name):
        raise ConfigurationError(
            f"warehouse {place(business.warehouse)}: the business file {owner}.yaml publishes to it. Nothing was changed. "
            f"Give each business a warehouse of its own; if the file was renamed, give it its old name, or the ledger the new one: "
            f"update {LEDGER} set business = {literal(business.name)}"
        )


def entries(warehouse: Path) -> list[dict[str, Any]]:
    """The entries of the ledger, see `entries_of`; none of a file to which nothing was published."""
    if not exists(warehouse):
        return []
    with faults_explained(warehouse), opened(warehouse) as con:
        return entries_of(con)


def entries_of(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The entries of the ledger, the last publication first, without their long texts, and whether each one's day `stands`.

    Of a file that an earlier version published to, they have not the columns that this had not.
    """
    cursor = con.execute(
        f"select * exclude (models, row_counts, gates), {stands()} as stands from {LEDGER} order by published_at desc"
    )
    names = [name for name, *_ in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def opened(warehouse: Path, read_only: bool = True, memory: str | None = None) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection in UTC whose default database is the file as it is at this instant.

    Args:
        warehouse: the DuckDB file.
        read_only: refuse to change it.
        memory: most memory for DuckDB, such as 4GB; None leaves it DuckDB's own measure.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the file cannot be opened.
    """
    # attached, not connected to: a process that has the replaced file open would be handed that one again
    only_looks = read_only and not memory
    with unattached() if only_looks else started() as con:
        spilled = "" if only_looks else str(_beside(warehouse, ".tmp"))
        con.execute(f"set temp_directory = {literal(spilled)}")
        if memory:
            con.execute(f"set memory_limit = {literal(memory)}")
        created_as = "" if warehouse.exists() else f", storage_version {literal(STORAGE_VERSION)}"
        _attach(con, warehouse, f"read_only {read_only}{created_as}")
        con.execute("use warehouse")
        yield con
        con.execute("use memory")
        con.execute("detach warehouse")


@contextmanager
def attached(con: duckdb.DuckDBPyConnection, warehouse: Path) -> Generator[None]:
    """The file as it is at this instant, beside what a connection has already, to be read under the name `warehouse`.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the file cannot be opened.
    """
    _attach(con, warehouse, "read_only")
    yield
    con.execute("detach warehouse")


def _attach(con: duckdb.DuckDBPyConnection, warehouse: Path, options: str) -> None:
    try:
        con.execute(f"attach {literal(str(warehouse))} as warehouse ({options})")
    except duckdb.Error as error:
        if is_open_elsewhere(error):
            raise _open_elsewhere(warehouse) from error
        raise WarehouseError(
            f"warehouse {warehouse}: it cannot be opened ({_first_line(error)}). Nothing was changed."
            " Put back a good copy, or move the file away and publish again."
        ) from error


@contextmanager
def unattached() -> Generator[duckdb.DuckDBPyConnection]:
    """A connection in UTC without a database, that downloads nothing."""
    with reused("warehouse", None, started) as con:
        yield con


@contextmanager
def faults_explained(warehouse: Path) -> Generator[None]:
    """Tells faults of the disk and of DuckDB as errors of the warehouse."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(
            f"warehouse {warehouse}: {_first_line(error)}. Readers have the last whole publication."
            " Put that right and try again."
        ) from error


Stamp = tuple[tuple[str, int, int, int], ...]
"""Which files a warehouse is, and when each was last written to: another stamp, and somebody changed it."""


def copied(warehouse: Path, copy: Path) -> Stamp:
    """Copies a warehouse, as its readers see it, to be changed in private; an earlier copy is replaced.

    Returns:
        What the warehouse was then, for `exchange`.

    Raises:
        Busy: another program has the file open for writing.
        WarehouseError: the copy failed.
    """
    with faults_explained(warehouse):
        copy.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (copy, *wals(copy)):
            leftover.unlink(missing_ok=True)
        with _no_writer(warehouse) as live_file:
            if live_file:
                copy_file(live_file, warehouse, copy)
            return _stamp(warehouse.resolve())


def _stamp(live_path: Path) -> Stamp:
    found = [(path.name, path.stat()) for path in (live_path, *wals(live_path)) if path.exists()]
    return tuple((name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in found)


def exchange(
    copy: Path, warehouse: Path, as_copied: Stamp, run_id: str, started_at: datetime, wait_seconds: float = 0
) -> None:
    """Makes a copy that was changed in private the warehouse: all its days become visible at once.

    Args:
        copy: the changed copy, which stays.
        warehouse: the DuckDB file, made if it is missing.
        as_copied: what it was when the copy was made.
        run_id: the run that does it, for those who have to wait.
        started_at: when that began, UTC.
        wait_seconds: how long to wait while another run publishes; 0 gives up at once.

    Raises:
        Busy: another run publishes, or another program has the file open for writing.
        WarehouseError: somebody wrote to it since the copy was made, or the warehouse failed. Readers see no change.
    """
    live_path = warehouse.resolve()

    def take(live_file: BinaryIO | None, next_path: Path) -> None:
        if _stamp(live_path) != as_copied:
            raise WarehouseError(
                f"warehouse {live_path}: another run or program wrote to it since {copy} was made of it."
                " Nothing was changed. Start again."
            )
        shutil.copyfile(copy, next_path)
        if live_file:
            _let_in_the_same(live_file, next_path)

    with as_publisher(live_path, run_id, started_at, wait_seconds):
        exchange_file(live_path, copy.stat().st_size, take)


@contextmanager
def as_publisher(live_path: Path, run_id: str, started_at: datetime, wait_seconds: float) -> Generator[None]:
    """Holds the warehouse for one publisher, and puts right what another one, or another program, left beside the file.

    Raises:
        Busy: another run publishes.
        WarehouseError: the disk, or DuckDB, failed while it was held. Readers see no change.
    """
    with faults_explained(live_path):
        live_path.parent.mkdir(parents=True, exist_ok=True)
        with held(lock_file(live_path), "the warehouse", run_id, started_at, wait_seconds):
            _clear(live_path)
            _disown_unusable_wal(live_path)
            yield


def exchange_file(live_path: Path, needed: int, make: Callable[[BinaryIO | None, Path], None]) -> None:
    """Gives the live file's name to another one, while it is held by `as_publisher`.

    Args:
        live_path: the file.
        needed: bytes that the other one may take.
        make: makes the other one; it is given the live file, None where there is none, and the path of the other.
    """
    next_path = _beside(live_path, ".next")
    with _no_writer(live_path) as live_file:
        try:
            _refuse_small_room(needed, live_path)
            make(live_file, next_path)
            sync(next_path)
            for wal in wals(live_path):
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
    for leftover in (*wals(next_path), next_path, written_anew(next_path)):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(_beside(next_path, ".tmp"), ignore_errors=True)


def _disown_unusable_wal(live_path: Path) -> None:
    """Moves writes away that do not belong to the file: while they lie beside it nobody can open it."""
    found = wals(live_path)
    if not found or _opens(live_path):
        return
    for wal in found:
        wal.replace(_beside(wal, ".unusable"))
    if live_path.exists() and not _opens(live_path):
        for wal in found:
            _beside(wal, ".unusable").replace(wal)
        return
    log.warning(
        "warehouse %s: %s does not belong to it and kept it from being opened. It was moved to %s.unusable."
        " Delete that if nobody misses it.",
        live_path,
        found[0].name,
        found[0].name,
    )


def _opens(path: Path) -> bool:
    try:
        with opened(path):
            return True
    except WarehouseError:
        return False


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


def _refuse_small_room(needed: int, live_path: Path) -> None:
    free = shutil.disk_usage(live_path.parent).free
    if free < needed:
        raise WarehouseError(
            f"warehouse {live_path}: {_megabytes(free)} are free on its disk, and publishing needs"
            f" {_megabytes(needed)} for a copy and the new rows. Nothing was changed."
            " Make room and publish again."
        )


def copy_file(live_file: BinaryIO, live_path: Path, next_path: Path) -> None:
    """Copies the live file, with the unfinished writes of another program where it has some."""
    with next_path.open("xb") as next_file:
        shutil.copyfileobj(live_file, next_file, COPY_BYTES)
    _let_in_the_same(live_file, next_path)
    for wal in wals(live_path):
        shutil.copyfile(wal, _beside(next_path, wal.name.removeprefix(live_path.name)))


def _let_in_the_same(live_file: BinaryIO, next_path: Path) -> None:
    """Gives who may read and write the live file the same rights to the file that takes its place."""
    as_is = os.fstat(live_file.fileno())
    with suppress(PermissionError):  # a group may be given by who is in it alone
        os.chown(next_path, -1, as_is.st_gid)
    next_path.chmod(stat.S_IMODE(as_is.st_mode) | stat.S_IWUSR)


def exists(warehouse: Path) -> bool:
    """Whether a warehouse has a publication."""
    return live(warehouse) is not None


def stands(database: str = "") -> str:
    """SQL that holds of the runs in the ledger whose day was not taken back since.

    Args:
        database: the database's name with a point behind it; empty for the default one.
    """
    return f"as_of in (select as_of from {database}{SCHEMA}.segment_summary)"


def has_ledger(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether anything was ever published to the database."""
    try:
        con.execute(f"select 1 from {LEDGER} limit 0")
    except duckdb.CatalogException:
        return False
    return True


def lock_file(path: Path) -> Path:
    """The file that says who publishes."""
    return _beside(path.resolve(), ".lock")


def written_anew(next_path: Path) -> Path:
    """Where a copy is written anew, since what is deleted from a file stands in its free blocks still."""
    return _beside(next_path, ".anew")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def wals(path: Path) -> list[Path]:
    """The files beside a database with writes that it does not have yet."""
    return [wal for wal in (_beside(path, suffix) for suffix in WAL_SUFFIXES) if wal.exists()]


def _open_elsewhere(path: Path) -> Busy:
    return Busy(
        f"another program has the warehouse {path} open for writing. Nothing was changed."
        " Close it there, or open it there for reading only."
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
