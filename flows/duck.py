"""DuckDB connections of one run, and the statements of `sql/` run on them."""

import glob
import re
from collections.abc import Callable, Generator, Hashable
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Literal

import duckdb

from config.errors import SourceError
from config.settings import Business
from flows import machine

_idle: dict[str, tuple[Hashable, duckdb.DuckDBPyConnection]] = {}


def started() -> duckdb.DuckDBPyConnection:
    """A connection in memory, in UTC, that downloads nothing."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    con.execute("set autoinstall_known_extensions = false")
    con.execute("set autoload_known_extensions = false")
    con.execute("set enable_progress_bar = false")
    return con


def connect(business: Business) -> duckdb.DuckDBPyConnection:
    """The same with the run's limits."""
    con = started()
    con.execute(f"set memory_limit = {literal(machine.memory_limit(business))}")
    con.execute(f"set threads = {machine.threads(business)}")
    return con


@contextmanager
def reused(
    use: str, of: Hashable, start: Callable[[], duckdb.DuckDBPyConnection]
) -> Generator[duckdb.DuckDBPyConnection]:
    """The connection that was last left in order for a use, if it was of the same as now, else one that is started.

    To start DuckDB takes longer than most of what the stages of a small business ask of it. Who uses the connection
    detaches what it attached.
    """
    left_of, left = _idle.pop(use, (None, None))
    if left and left_of != of:
        left.close()
        left = None
    with ExitStack() as until_closed:
        con = until_closed.enter_context(left or start())
        yield con
        until_closed.pop_all()
        _idle[use] = (of, con)


@contextmanager
def trying(con: duckdb.DuckDBPyConnection) -> Generator[None]:
    """While the block runs, `try` catches all that stands in it.

    Else DuckDB computes what an expression says twice before it, outside of the `try`. To leave that out costs the typing
    of rows half as much again.
    """
    con.execute("set disabled_optimizers = 'common_subexpressions'")
    try:
        yield
    finally:
        con.execute("reset disabled_optimizers")


def is_open_elsewhere(error: duckdb.Error) -> bool:
    """Whether a file cannot be opened since another program has it open."""
    return "Could not set lock" in str(error)


def short_of_memory(where: str, error: duckdb.OutOfMemoryException) -> SourceError:
    """The error for a limit that is too low, or a machine with too little."""
    return SourceError(
        f"{where}: DuckDB has too little memory ({str(error).splitlines()[0]}). Nothing was published. "
        "Give it more by --memory, RAPPORT_MEMORY or `memory` in the business file."
    )


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a SQL literal, for the few places that take no bound value."""
    return "'" + text.replace("'", "''") + "'"


def path_literal(path: Path) -> str:
    """A path as a SQL literal that DuckDB takes for this one file, and not for a pattern or a home directory."""
    text = glob.escape(str(path))
    return literal(f"./{text}" if text.startswith("~") else text)


def parquet(*paths: Path, more: str = "") -> str:
    """The rows of Parquet files, as SQL to select from.

    Args:
        paths: the files; what a folder above them is called, say `day=1`, is no value of their rows.
        more: further options, as SQL that begins with a comma.
    """
    return f"read_parquet([{', '.join(map(path_literal, paths))}], hive_partitioning = false{more})"


def statement(name: str) -> str:
    """The text of `sql/<name>.sql`, a single select."""
    return files("sql").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def materialise(
    con: duckdb.DuckDBPyConnection,
    name: str,
    parameters: dict[str, object] | None = None,
    kind: Literal["table", "view"] = "table",
    schema: str = "",
) -> None:
    """Runs `sql/<name>.sql` into the table named like the file, or makes it a view.

    Args:
        con: the run's connection.
        name: path of the file below `sql/`, without `.sql`.
        parameters: values for its `$name`s; those that it does not name are left out.
        kind: a view has no parameters.
        schema: where to make it, as SQL; empty for the first on the search path.
    """
    text = statement(name)
    used = set(re.findall(r"\$(\w+)", re.sub(r"--.*", "", text)))
    bound = {key: value for key, value in (parameters or {}).items() if key in used}
    place = f"{schema}." * bool(schema) + identifier(name.rsplit("/", 1)[-1])
    con.execute(f"create or replace {kind} {place} as {text}", bound)


def rows(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many rows a table has."""
    return con.execute(f"select count(*) from {table}").fetchall()[0][0]
