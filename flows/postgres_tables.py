"""How a table of a Postgres database is read: in one snapshot, as text on the wire, then by the types of its columns.

As text every value arrives as Postgres shows it: no numeric becomes a float, and no `infinity` a date of another time.
"""

import re
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from config.errors import SourceError
from config.expressions import plain_column, scalar_sql
from config.nearest import did_you_mean
from config.sources import PostgresSource
from flows.duck import identifier, literal, parquet
from flows.postgres import AS_TEXT, SNAPSHOT, Purpose, asked, connected, driver, said
from flows.readers import Relation, not_landed, require_distinct
from flows.values import ROW_KEY, content

WHOLE_NUMBERS = ("SMALLINT", "INTEGER", "BIGINT")
TIMES = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")

_COLUMNS = """
    select
        cast(attribute.attname as text),
        format_type(attribute.atttypid, attribute.atttypmod),
        has_column_privilege(class.oid, attribute.attnum, 'select')
    from pg_catalog.pg_attribute as attribute
    inner join pg_catalog.pg_class as class on attribute.attrelid = class.oid
    inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
    where namespace.nspname = $1 and class.relname = $2 and class.relkind in ('r', 'p', 'v', 'm', 'f')
        and attribute.attnum > 0 and not attribute.attisdropped
    order by attribute.attnum"""

_TABLES = """
    select namespace.nspname || '.' || class.relname
    from pg_catalog.pg_class as class
    inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
    where class.relkind in ('r', 'p', 'v', 'm', 'f') and namespace.nspname not in ('pg_catalog', 'information_schema')
    order by 1"""

_TYPES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
}


@dataclass(frozen=True)
class Snapshot:
    """A table as it is at one instant.

    Attributes:
        where: role, source and table, for messages.
        source: the source.
        connection: in a read-only transaction.
        columns: the columns that the user may read, with the DuckDB types that hold their values.
    """

    where: str
    source: PostgresSource
    connection: Any
    columns: dict[str, str]


@contextmanager
def snapshot(where: str, source: PostgresSource) -> Generator[Snapshot]:
    """The table of a source at one instant, for as long as the context lasts.

    Raises:
        SourceError: there is no driver, no connection, or no such table.
        ConfigurationError: the password is not where the business file says.
    """
    purpose = _purpose(where)
    with closing(connected(purpose, source)) as connection:
        try:
            for command in (SNAPSHOT, *AS_TEXT):
                asked(connection, command)
            schema, name = source.name_parts
            columns = asked(connection, _COLUMNS, (schema, name))
            tables = [] if columns else asked(connection, _TABLES)
        except driver(purpose).Error as error:
            raise _unreadable(where, error) from None
        if not columns:
            near = did_you_mean(f"{schema}.{name}", (table for (table,) in tables))
            raise SourceError(
                f"{where}: the database {source.database} has no such table.{near} Nothing was read. "
                "Correct the source's table or database; capital and small letters are not the same."
            )
        types = {column: _type(declared) for column, declared, is_readable in columns if is_readable}
        if not types:
            raise _forbidden(where, source)
        require_distinct(where, list(types))
        _require_cursor(where, source, types)
        yield Snapshot(where, source, connection, types)


def fetched(
    con: duckdb.DuckDBPyConnection,
    table: Snapshot,
    columns: Iterable[str],
    key: str | None,
    condition: str,
    scratch: Path,
) -> Relation:
    """The rows of a table that meet a condition, copied to a file that the relation reads.

    Args:
        con: the connection that will read it.
        table: the table.
        columns: those to fetch, small or capital letters alike.
        key: the expression of a row's own key; where it has none, what the whole row says is fetched too.
        condition: SQL behind the table's name, as Postgres takes it.
        scratch: the file, for as long as the relation is in use.

    Raises:
        SourceError: the table may not be read, the connection is lost, or there is no room.
    """
    wanted = {column.lower() for column in columns}
    types = {column: kind for column, kind in table.columns.items() if column.lower() in wanted}
    said = content(table.columns)
    own = plain_column(key) if key else None
    if key and own and scalar_sql(key) == identifier(own):
        column = next(column for column in types if column.lower() == own.lower())
        # a key without a digit may be none: blank, or not a number
        said = f"case when coalesce(cast({identifier(column)} as text) !~ '[0-9]', true) then {said} end"
    listed = ", ".join(f"cast({identifier(column)} as text) as {identifier(column)}" for column in types)
    schema, name = table.source.name_parts
    query = f"select {listed}, {said} as {ROW_KEY} from {identifier(schema)}.{identifier(name)} {condition}"
    _copy(con, table, query, scratch)
    read = parquet(scratch)
    fitting = _fitting(con, read, types)
    cast = ", ".join(
        f"cast({identifier(column)} as {kind}) as {identifier(column)}" for column, kind in fitting.items()
    )
    return Relation(
        where=table.where,
        kind="a table",
        columns=fitting,
        sql=f"(select {cast}, {ROW_KEY} from {read})",
        broken=list,
        content=ROW_KEY,
    )


def since(table: Snapshot, cursor: str, high: str) -> str:
    """The condition for the rows of a table that are new or late, where the cursor had come to `high`."""
    kind, overlap = table.columns[cursor], table.source.overlap
    behind = f"interval '{overlap}'" if kind in TIMES else str(overlap)
    # a row without a value may be new too
    return f"({identifier(cursor)} >= cast({literal(high)} as {kind}) - {behind} or {identifier(cursor)} is null)"


def highest(con: duckdb.DuckDBPyConnection, table: Snapshot, file: Relation, known_at: datetime) -> str | None:
    """The highest value that the cursor has in rows read, as text; a time yet to come would hide all that comes before."""
    if table.source.cursor is None:
        return None
    kind = table.columns[table.source.cursor]
    value = f"try_cast({identifier(table.source.cursor)} as {kind})"
    bounds = f"timestamp '0001-01-01' and timestamp '{known_at.isoformat()}'"
    past = f"filter (where cast({value} as timestamp) between {bounds})" if kind in TIMES else ""
    return con.execute(f"select cast(max({value}) {past} as varchar) from {file.sql}").fetchall()[0][0]


def _require_cursor(where: str, source: PostgresSource, types: dict[str, str]) -> None:
    if source.cursor is None:
        return
    kind = types.get(source.cursor)
    if kind is None:
        fault = f"there is no column {source.cursor}, the cursor.{did_you_mean(source.cursor, types)}"
    elif kind not in (*WHOLE_NUMBERS, *TIMES):
        fault = f"the cursor {source.cursor} is neither a time nor a whole number."
    elif (kind in TIMES) != isinstance(source.overlap, str):
        form = "hours or days such as 12h or 3d" if kind in TIMES else "a whole number"
        fault = f"the cursor {source.cursor} is of the type {kind.lower()}, and for that an overlap is {form}."
    else:
        return
    raise SourceError(f"{where}: {fault} Nothing was read. Correct the source's cursor and overlap.")


def _copy(con: duckdb.DuckDBPyConnection, table: Snapshot, query: str, scratch: Path) -> None:
    postgres = driver(_purpose(table.where))
    with table.connection.cursor() as cursor:
        try:
            cursor.execute(query)
            con.register("stream", cursor.fetch_record_batch())
            con.execute(f"copy (select * from stream) to {literal(str(scratch))} (format parquet)")
        except duckdb.Error as error:
            if scratch.name in str(error):
                raise not_landed(table.where, scratch.parent, error) from error
            raise _unreadable(table.where, error) from None
        except postgres.Error as error:
            if error.sqlstate == "42501":
                raise _forbidden(table.where, table.source) from None
            raise _unreadable(table.where, error) from None
        finally:
            con.unregister("stream")


def _fitting(con: duckdb.DuckDBPyConnection, read: str, types: dict[str, str]) -> dict[str, str]:
    """The types that hold all values: text for a column with one that its own type has no place for.

    Such are NaN in a numeric, and days before Christ.
    """
    fits = ", ".join(
        f"coalesce(bool_and({identifier(column)} is null or try_cast({identifier(column)} as {kind}) is not null), true)"
        for column, kind in types.items()
    )
    [found] = con.execute(f"select {fits} from {read}").fetchall()
    return {column: kind if fit else "VARCHAR" for (column, kind), fit in zip(types.items(), found, strict=True)}


def _type(declared: str) -> str:
    """The DuckDB type for the values of a column; text for what has none, and for numerics without fixed digits."""
    digits = re.fullmatch(r"numeric\((\d+),(\d+)\)", declared)
    if digits and int(digits[2]) <= int(digits[1]) <= 38:
        return f"DECIMAL({digits[1]},{digits[2]})"
    return _TYPES.get(re.sub(r"\(\d\)", "", declared), "VARCHAR")


def _forbidden(where: str, source: PostgresSource) -> SourceError:
    return SourceError(
        f"{where}: the user {source.user} may not read it. Nothing was read. "
        "Grant that user select on the table and usage on its schema, or name another user."
    )


def _unreadable(where: str, error: Exception) -> SourceError:
    return SourceError(f"{where}: it cannot be read ({said(error)}). Nothing was read. Put that right and run again.")


def _purpose(where: str) -> Purpose:
    return Purpose(where, "Nothing was read.", SourceError)
