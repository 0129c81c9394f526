"""What lasts between nights, in one DuckDB file a business: the rows that stand, the ledger and the statistics.

A run works in a file of its own, with the state beside it under the name `state`. Where the state has to be made anew,
it is made in the run's folder from the landed batches and put in place when it is whole. Else the run is a night: its
schema `before` has what the rows that it touches were in the state, `after` what they are now. What only the statements of a
stage pass on to each other stays in DuckDB's `memory`, which spills what does not fit: it packs all that it writes to a file.
"""

import shutil
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import duckdb
from polars.exceptions import InvalidOperationError

from config.decisions import Merge
from config.errors import Busy, SourceError
from config.settings import Business
from flows.batches import Batch
from flows.disk import sync
from flows.duck import connect, is_open_elsewhere, literal, reused, short_of_memory
from flows.machine import memory_limit, require_room, threads

FILE = "state.duckdb"
WORK = "work.duckdb"
SPILLED = "work.tmp"
"""What does not fit in memory."""
SWOLLEN = 8
"""How many times as large as the landed batches a state and its temporary files may become.

The state of 50 million generated rows was 5 times as large as their batches, which Parquet and zstd keep small.
"""
MADE_BY = (
    "config/expressions.py",
    "config/rules.py",
    "config/tables.py",
    "flows/conform.py",
    "flows/landing.py",
    "flows/ledger.py",
    "flows/values.py",
    "transforms/purchases.py",
    "transforms/purchase_models/fits.py",
    "transforms/purchase_models/occasions.py",
    "transforms/purchase_models/values.py",
)


def prepare(business: Business, folder: Path, wanted: Sequence[Batch], merges: Sequence[Merge], anew: str) -> str:
    """Makes ready what a run works with: the state, or a new one in its folder.

    Args:
        business: the business.
        folder: the run's.
        wanted: the batches that the run counts.
        merges: the merges of accounts that the run counts.
        anew: why the state is made anew whatever is in it; empty where it need not be.

    Returns:
        Why the state is made anew, empty where the run is a night.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tidy(folder)
    why = anew or why_anew(business, merges)
    files = [batch.path(business.state / "landed") for batch in wanted if why]
    landed = sum(file.stat().st_size for file in files if file.exists())
    require_room(folder, SWOLLEN * landed, "a state made anew, with what is sorted on the way,")
    if why:
        with duckdb.connect(folder / FILE) as con:
            con.execute("create table made_of as select $hash as hash", {"hash": _made_of(business, merges)})
            con.execute("create table batches (role varchar, source varchar, batch varchar, delivered_at timestamp)")
            con.execute("create table reduced (name varchar, as_of date)")
            con.execute("create table due (name varchar, account_id varchar, line varchar)")
            con.execute("create table fitted (name varchar, record varchar)")
    with connected(business, folder) as con:
        for schema in ("before", "after"):
            con.execute(f"create schema {schema}")
        con.execute("create table after.batches (role varchar, source varchar, batch varchar, delivered_at timestamp)")
        known = set(con.execute("select batch, delivered_at from state.batches").fetchall())
        counted = {(batch.batch, batch.delivered_at) for batch in wanted}
        new = [
            [batch.role, batch.source, batch.batch, batch.delivered_at]
            for batch in wanted
            if (batch.batch, batch.delivered_at) not in known
        ]
        if new:
            con.executemany("insert into after.batches values (?, ?, ?, ?)", new)
        con.execute(
            "create table before.batches as select * from state.batches where batch in (select unnest($gone))",
            {"gone": [batch for batch, delivered_at in known if (batch, delivered_at) not in counted]},
        )
    return why


@contextmanager
def connected(business: Business, folder: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection to the run's file, the state beside it; a name means a table of the run, else one of the state."""

    def start() -> duckdb.DuckDBPyConnection:
        con = connect(business)
        con.execute(f"set temp_directory = {literal(str(folder / SPILLED))}")
        return con

    of = (folder, memory_limit(business), threads(business))
    with _faults_explained(business), reused("work", of, start) as con:
        con.execute(f"attach {literal(str(folder / WORK))} as work")
        con.execute(f"attach {literal(str(_file(business, folder)))} as state")
        use(con, "work.main", "state.main")
        yield con
        con.execute("use memory")
        con.execute("detach work")
        con.execute("detach state")


@contextmanager
def _faults_explained(business: Business) -> Generator[None]:
    """Tells a disk that is full, or fails, with its place; memory that is short; and a sum that no table can hold, without it."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise short_of_memory(business.business, error) from error
    except (duckdb.IOException, OSError) as error:
        raise SourceError(
            f"state {business.state}: what a run works with cannot be kept there ({str(error).splitlines()[0]}). Nothing was published. "
            "Make room there, or give `state` another place."
        ) from error
    except (duckdb.ConversionException, InvalidOperationError) as error:
        if "decimal" not in str(error).lower():
            raise
        raise SourceError(
            f"{business.business}: amounts, or quantities, of single lines count, and add up to more than tables hold "
            "(99,999,999,999,999 of the currency; 999,999,999,999 of a product on a day). Nothing was published. Look for "
            "amounts and quantities that cannot be right, and correct them where they come from."
        ) from None


@contextmanager
def adding(business: Business, folder: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """The same, while rows are added: tables are made in the new state, or on a night in `after`."""
    with connected(business, folder) as con:
        use(con, *(("work.after", "state.main") if is_night(folder) else ("state.main", "work.main")))
        yield con


def use(con: duckdb.DuckDBPyConnection, *schemas: str) -> None:
    """Looks for tables in these schemas, and makes new ones in the first."""
    con.execute(f"set search_path = {literal(','.join(schemas))}")


def is_night(folder: Path) -> bool:
    """Whether the run adds to the state, and does not make one of its own."""
    return not (folder / FILE).exists()


def new_batches(con: duckdb.DuckDBPyConnection, wanted: Iterable[Batch]) -> list[Batch]:
    """Those of the batches that the state does not count yet."""
    new = {batch for (batch,) in con.execute("select batch from work.after.batches").fetchall()}
    return [batch for batch in wanted if batch.batch in new]


def put_in_place(business: Business, folder: Path) -> None:
    """Puts a new state that is whole in the place of the old one."""
    with duckdb.connect(folder / FILE) as con:
        con.execute("checkpoint")
    sync(folder / FILE)
    # what the old state had not written to its file yet would make the new one unreadable
    (business.state / f"{FILE}.wal").unlink(missing_ok=True)
    (folder / FILE).replace(business.state / FILE)
    sync(business.state)


def tidy(folder: Path) -> None:
    """Takes away a run's database and the new state that was not put in place."""
    shutil.rmtree(folder / SPILLED, ignore_errors=True)
    for leftover in [*folder.glob(f"{WORK}*"), *folder.glob(f"{FILE}*")]:
        leftover.unlink()


def _file(business: Business, folder: Path) -> Path:
    return (business.state if is_night(folder) else folder) / FILE


def why_anew(business: Business, merges: Sequence[Merge], only_looks: bool = False) -> str:
    """Why the state cannot be added to and has to be made anew; empty where it can.

    Args:
        business: the business.
        merges: the merges of accounts that count.
        only_looks: leave the file as it is, and do not mind who else only looks.

    Raises:
        Busy: another program has it open.
    """
    if not (business.state / FILE).exists():
        return "there was none"
    try:
        with duckdb.connect(business.state / FILE, read_only=only_looks) as con:
            found = con.execute("select hash from made_of").fetchall()
    except duckdb.Error as error:
        if is_open_elsewhere(error):
            raise Busy(
                f"state {business.state / FILE}: another program has it open. Nothing was changed. Close it, and run again."
            ) from error
        return "it could not be read"
    return (
        ""
        if found == [(_made_of(business, merges),)]
        else "the configuration, the merges of accounts or Rapport changed"
    )


def _made_of(business: Business, merges: Sequence[Merge]) -> str:
    """A hash of all that decides what the state makes of the landed batches."""
    digest = sha256(business.model_dump_json(include={"timezone", "currency", "sources"}).encode())
    for merge in merges:
        digest.update(merge.model_dump_json(include={"account_id", "into"}).encode())
    root = Path(__file__).parents[1]
    for text in [*(root / name for name in MADE_BY), *_statements(files("sql"))]:
        digest.update(text.read_bytes())
    return digest.hexdigest()


def _statements(folder: Traversable) -> list[Traversable]:
    """The texts below `sql/` that make the state."""
    return sorted(
        (
            text
            for part in ("staging", "ledger", "features")
            for text in folder.joinpath(part).iterdir()
            if text.name.endswith(".sql")
        ),
        key=lambda text: text.name,
    )
