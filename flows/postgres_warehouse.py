"""A warehouse in Postgres: the same tables as in the DuckDB file of the state, to which a run publishes first.

Then the database is brought level with that file in one transaction: its readers see all tables of one publication, or of
the next. What counts is the database: where it has a publication that the file has not, since another machine published or
the state was lost, the file is made anew from it.
"""

import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from config.errors import Busy, WarehouseError
from config.rules import FIRST_DAY
from config.settings import Business, PostgresWarehouse
from config.tables import KEYS, PUBLISHED, Column
from flows.duck import identifier, literal
from flows.postgres import AS_TEXT, SNAPSHOT, Purpose, asked, connected, driver, said
from flows.publishing import day_column, erasing, rows_of, table, taken_back
from flows.warehouse import (
    LEDGER,
    SCHEMA,
    as_publisher,
    exchange_file,
    exists,
    faults_explained,
    live,
    location,
    opened,
    place,
    require_own,
)

WAIT_SECONDS = 60
"""How long who only reads waits for who publishes, or changes a table."""
LONGEST_WAIT_SECONDS = 2_000_000
LEAST_WAIT_FOR_READERS_SECONDS = 30
MOMENT_SECONDS = 1.0
LOCKED_OUT = "55P03"
"""What Postgres answers where a lock was not to be had in time."""
TYPES = {"DOUBLE": "double precision"}
"""What is called otherwise in Postgres than in DuckDB."""
SETTINGS = (
    "set local statement_timeout = 0",
    "set local idle_in_transaction_session_timeout = 0",
    "set local row_security = off",
    "select set_config(name, '0', true) from pg_catalog.pg_settings where name = 'transaction_timeout'",  # from Postgres 17 on
)
"""Of the role or the database they may be otherwise, and end what takes its time, or hide rows."""
READING = "set transaction isolation level read committed, read only"
WRITING = "set transaction isolation level read committed, read write"
"""How transactions begin, whatever the default is."""
BY_BYTES = ' collate "C"'
"""The order of texts that DuckDB has."""

_OURS = f"""
    from pg_catalog.pg_class as class
    inner join pg_catalog.pg_namespace as namespace on class.relnamespace = namespace.oid
        and namespace.nspname = {literal(SCHEMA)}"""
"""Where the catalogue has what is in our schema."""

_COLUMNS = f"""
    select cast(class.relname as text), cast(attribute.attname as text) {_OURS}
    inner join pg_catalog.pg_attribute as attribute on class.oid = attribute.attrelid
    where attribute.attnum > 0 and not attribute.attisdropped"""

_NOT_OURS = f"""
    select cast(class.relname as text) {_OURS}
    where class.relname in ({", ".join(map(literal, PUBLISHED))}) and not pg_has_role(class.relowner, 'usage')
    order by 1"""

_BYTES = f"""
    select cast(coalesce(sum(pg_total_relation_size(class.oid)), 0) as bigint) {_OURS}
    where class.relkind = 'r'"""

_HAS_SCHEMA = f"select 1 from pg_catalog.pg_namespace where nspname = {literal(SCHEMA)}"


def require_writable(business: Business) -> None:
    """Makes sure that a business's warehouse can be published to.

    Raises:
        WarehouseError: there is no connection to the database, or its user may not make tables; or the directory of the
            DuckDB file cannot be written.
    """
    warehouse = business.warehouse
    if not isinstance(warehouse, PostgresWarehouse):
        directory = next(parent for parent in warehouse.path.resolve().parents if parent.exists())
        if not os.access(directory, os.W_OK):
            raise WarehouseError(
                f"warehouse {warehouse.path}: the directory {directory} cannot be written. Nothing was changed. "
                "Give it another place, or the right to write."
            )
        return
    with _connection(warehouse, "Nothing was changed.", kind=WRITING) as database:
        makes_tables = (
            f"has_schema_privilege({literal(SCHEMA)}, 'create') and has_schema_privilege({literal(SCHEMA)}, 'usage')"
            if asked(database, _HAS_SCHEMA)
            else "has_database_privilege(current_database(), 'create')"
        )
        makes_tables, makes_temporary = asked(
            database, f"select {makes_tables}, has_database_privilege(current_database(), 'temporary')"
        )[0]
        not_ours = [name for (name,) in asked(database, _NOT_OURS)]
    user, name = identifier(warehouse.user), identifier(warehouse.database)
    if not (makes_tables and makes_temporary):
        raise WarehouseError(
            f"warehouse {place(warehouse)}: the user {warehouse.user} may not make tables in the schema {SCHEMA}, or no temporary "
            "ones. Nothing was changed. Let the owner of the database run: "
            f"create schema if not exists {SCHEMA}; grant create, usage on schema {SCHEMA} to {user}; "
            f"grant temporary on database {name} to {user}"
        )
    if not_ours:
        raise WarehouseError(
            f"warehouse {place(warehouse)}: tables in the schema {SCHEMA} are another user's ({', '.join(not_ours)}). Nothing was changed. "
            f"Let that one run: alter table {SCHEMA}.{not_ours[0]} owner to {user}; and so on"
        )


def published(business: Business) -> dict[str, Any] | None:
    """What the ledger of a business's warehouse has of the last publication: `run_id`, `business`, `as_of`, `started_at`.

    Returns:
        None where nothing was published.

    Raises:
        WarehouseError: it cannot be read, or has tables of the same names that Rapport did not make.
        ConfigurationError: another business publishes to it.
        Busy: another program has the DuckDB file open for writing.
    """
    if isinstance(business.warehouse, PostgresWarehouse):
        with _connection(business.warehouse, "Nothing was changed.") as database:
            return _present(business, database)
    present = live(location(business))
    require_own(present, business)
    return present


def up_to_date(business: Business) -> Path:
    """The DuckDB file with all that is published.

    Where the warehouse is in Postgres, and has a publication which the state's file has not, that is made anew from it.

    Raises:
        WarehouseError: there is no connection, or the tables there are not ours.
        ConfigurationError: another business publishes to the database.
        Busy: a run publishes.
    """
    warehouse, path = business.warehouse, location(business)
    if not isinstance(warehouse, PostgresWarehouse):
        return path
    missing = _missing(business, path)
    if missing:
        live_path = path.resolve()
        with as_publisher(live_path, missing["run_id"], missing["started_at"], WAIT_SECONDS):
            # while it waited, a run may have published to the file, or another command have made it anew
            if _missing(business, path):
                with _connection(warehouse, "Nothing was changed.", kind=SNAPSHOT) as database:
                    for command in AS_TEXT:
                        asked(database, command)
                    needed = asked(database, _BYTES)[0][0]
                    exchange_file(live_path, needed, lambda _, next_path: _copy(database, next_path, place(warehouse)))
    return path


def _missing(business: Business, path: Path) -> dict[str, Any] | None:
    """The last publication of the database where the file has it not."""
    present = published(business)
    return None if present is None or (exists(path) and _has(path, present["run_id"])) else present


def bring_level(business: Business, run_id: str, wait_seconds: float = 0) -> bool:
    """Makes the database what the DuckDB file is, all tables at once, and reads back on a new connection that it is.

    Args:
        business: the business; one that publishes to a DuckDB file has nothing to bring level.
        run_id: the run that the database is to have then.
        wait_seconds: how long to wait for another publisher, or for somebody else who holds a table.

    Returns:
        Whether the database was changed.

    Raises:
        WarehouseError: there is no connection, something else was published meanwhile, or the database did not take it.
        Busy: another publisher, or somebody else, holds it.
    """
    warehouse, path = business.warehouse, location(business)
    if not isinstance(warehouse, PostgresWarehouse):
        return False
    done = "Its readers have the last whole publication."
    with faults_explained(path), opened(path) as con:
        _add_columns(business, warehouse, done, wait_seconds)
        with _connection(warehouse, done, wait_seconds, WRITING) as database:
            _lock(database)
            present = _present(business, database)
            known = [run_id for (run_id,) in asked(database, f"select run_id from {LEDGER}")] if present else []
            if present and not all(_holds(con, each) for each in (present["run_id"], run_id)):
                raise WarehouseError(
                    f"warehouse {place(warehouse)}: run {present['run_id']} was published to it since run {run_id} was computed. "
                    f"{done} Repeat the run."
                )
            is_behind = run_id not in known
            if is_behind:
                _bring(con, database, known, f"warehouse {place(warehouse)}")
    with _connection(warehouse, done) as database:
        if not asked(database, f"select 1 from {LEDGER} where run_id = $1", (run_id,)):
            raise WarehouseError(
                f"warehouse {place(warehouse)}: read back after the commit, its ledger has no row of run {run_id}. {done} "
                "Publish again, and report it if it happens twice."
            )
    return is_behind


def _bring(con: duckdb.DuckDBPyConnection, database: Any, known: list[str], where: str) -> None:
    """Makes the tables of the database what those of the file are, where it has these runs already; and commits."""
    since = con.execute(
        f"select min(as_of) from {LEDGER} where run_id not in (select unnest(cast($known as varchar[])))",
        {"known": known},
    ).fetchall()[0][0]
    _create(database)
    for name in PUBLISHED:
        first = str(since) if _is_whole_before(con, database, name, since) else FIRST_DAY
        _stage(con, database, name, first)
        _merge(database, name, first)
        _require_same(con, database, name, first, where)
    database.commit()


def erase(
    business: Business, accounts: Sequence[str], batches: Iterable[tuple[str, str]], wait_seconds: float = 0
) -> None:
    """Takes all rows of accounts out of the database, all at once, and has it write the tables anew without them.

    Args:
        business: the business; one that publishes to a DuckDB file has nothing to erase here.
        accounts: the accounts.
        batches: source and id of the landed batches with rows of theirs; all that is in quarantine of those is taken out.
        wait_seconds: how long to wait for another publisher, or for who reads or holds a table.

    Raises:
        WarehouseError: there is no connection, the database did not do it, or has rows of theirs still.
        Busy: another publisher, or somebody else, holds it.
    """
    warehouse = business.warehouse
    if not isinstance(warehouse, PostgresWarehouse):
        return
    theirs, commands = rows_of(accounts, PUBLISHED), erasing(accounts, batches)
    done, waits = "Not all was erased.", max(wait_seconds, LEAST_WAIT_FOR_READERS_SECONDS)
    with _connection(warehouse, done, waits, WRITING) as database:
        _lock(database)
        if not _present(business, database):
            return
        _create(database)
        for command in commands.values():
            asked(database, command)
        database.commit()
        _write_anew(database, commands, waits)
    counts = (f"(select count(*) from {table(name)} where {condition})" for name, condition in theirs.items())
    with _connection(warehouse, done) as database:
        [[left]] = asked(database, f"select {' + '.join(counts)}")
    if left:
        raise WarehouseError(
            f"warehouse {place(warehouse)}: read back after the commit, it has {left:,} rows of them still. {done} "
            "Look for triggers on its tables, and run the command again."
        )


def _write_anew(database: Any, names: Iterable[str], wait_seconds: float) -> None:
    """Has Postgres write tables anew, outside of any transaction: what is deleted stands in its files until then."""
    database.adbc_connection.set_autocommit(True)
    asked(database, "set statement_timeout = 0")
    asked(database, f"set lock_timeout = {_milliseconds(wait_seconds)}")
    for name in names:
        asked(database, f"vacuum full {table(name)}")


@contextmanager
def _connection(
    warehouse: PostgresWarehouse, done: str, wait_seconds: float = WAIT_SECONDS, kind: str = READING
) -> Generator[Any]:
    """A connection in a transaction, which is undone unless it is committed; what Postgres says is told without values.

    Args:
        warehouse: where to connect to.
        done: what became of what it is for where it fails, a sentence.
        wait_seconds: how long to wait for who holds a table.
        kind: the statement that the transaction begins with.
    """
    where = f"warehouse {place(warehouse)}"
    purpose = Purpose(where, done, WarehouseError)
    with closing(connected(purpose, warehouse)) as database:
        try:
            for command in (kind, *SETTINGS):
                asked(database, command)
            asked(database, f"set local lock_timeout = {_milliseconds(wait_seconds)}")
            yield database
        except driver(purpose).Error as error:
            if error.sqlstate == LOCKED_OUT:
                raise Busy(
                    f"{where}: another publisher holds it, or somebody who changes a table of it, or reads one that has to get a new "
                    f"column. {done} Wait for them, or pass --wait 10m."
                ) from None
            raise WarehouseError(f"{where}: {said(error)}. {done} Put that right and try again.") from None


def _milliseconds(wait_seconds: float) -> int:
    return max(1, round(min(wait_seconds, LONGEST_WAIT_SECONDS) * 1000))


def _present(business: Business, database: Any) -> dict[str, Any] | None:
    """As `published`, of a database."""
    standing = set(asked(database, _COLUMNS))
    taken = sorted({name for name, _ in standing} & PUBLISHED.keys())
    if not taken:
        return None
    if ("runs", "run_id") not in standing:
        raise WarehouseError(
            f"warehouse {place(business.warehouse)}: the schema {SCHEMA} has tables that Rapport did not make ({', '.join(taken)}). "
            "Nothing was changed. Rename them, or name another database."
        )
    names = ("run_id", "business", "as_of", "started_at")
    found = asked(database, f"select {', '.join(names)} from {LEDGER} order by published_at desc limit 1")
    present = dict(zip(names, found[0], strict=True)) if found else None
    require_own(present, business)
    return present


def _has(path: Path, run_id: str) -> bool:
    with opened(path) as con:
        return _holds(con, run_id)


def _holds(con: duckdb.DuckDBPyConnection, run_id: str) -> bool:
    """Whether the file has a run in its ledger."""
    return bool(con.execute(f"select 1 from {LEDGER} where run_id = $run_id", {"run_id": run_id}).fetchall())


def _copy(database: Any, next_path: Path, where: str) -> None:
    """Makes a DuckDB file of what the database has, every value by what it is as text."""
    standing = set(asked(database, _COLUMNS))
    with opened(next_path, read_only=False) as con:
        con.execute("begin")
        con.execute(f"create schema {SCHEMA}")
        for name, columns in PUBLISHED.items():
            kept = [column for column in columns if (name, column.name) in standing]
            if not kept:
                continue
            as_text = ", ".join(f"cast({identifier(each.name)} as text) as {identifier(each.name)}" for each in kept)
            typed = ", ".join(
                f"cast({identifier(each.name)} as {each.type}) as {identifier(each.name)}" for each in kept
            )
            with database.cursor() as cursor:
                cursor.execute(f"select {as_text} from {table(name)}")
                con.register("stream", cursor.fetch_record_batch())
                try:
                    con.execute(f"create table {table(name)} as select {typed} from stream")
                except duckdb.InvalidInputException as error:
                    raise WarehouseError(
                        f"warehouse {where}: {name} cannot be read ({said(error)}). Nothing was changed. Put that right and try again."
                    ) from None
                con.unregister("stream")
        con.execute("commit")
        con.execute("checkpoint")


def _lock(database: Any) -> None:
    """Makes this the only publisher until the transaction ends."""
    asked(database, f"select cast(pg_advisory_xact_lock(hashtext({literal(SCHEMA)})) as text)")


def _add_columns(business: Business, warehouse: PostgresWarehouse, done: str, wait_seconds: float) -> None:
    """Gives tables that stand the columns that they miss, in a transaction of their own.

    Who reads a table meanwhile is waited for, and who wants to read it waits for that: so it is tried for a moment at a time.
    """
    deadline = time.monotonic() + max(wait_seconds, LEAST_WAIT_FOR_READERS_SECONDS)
    while True:
        try:
            with _connection(warehouse, done, MOMENT_SECONDS, WRITING) as database:
                if not _missing_columns(database):
                    return
                _lock(database)
                _present(business, database)
                for name, missing in _missing_columns(database).items():
                    added = ", ".join(f"add column {_declared(column)}" for column in missing)
                    asked(database, f"alter table {table(name)} {added}")
                    _comment(database, name, missing)
                database.commit()
                return
        except Busy:
            if time.monotonic() > deadline:
                raise
        time.sleep(MOMENT_SECONDS)


def _missing_columns(database: Any) -> dict[str, list[Column]]:
    """Of each table that stands the columns that it has not."""
    standing = set(asked(database, _COLUMNS))
    tables = {name for name, _ in standing}
    missing = {
        name: [column for column in columns if (name, column.name) not in standing]
        for name, columns in PUBLISHED.items()
        if name in tables
    }
    return {name: columns for name, columns in missing.items() if columns}


def _create(database: Any) -> None:
    """Makes the tables that are missing."""
    if not asked(database, _HAS_SCHEMA):
        asked(database, f"create schema {SCHEMA}")
    standing = {name for name, _ in asked(database, _COLUMNS)}
    for name, columns in PUBLISHED.items():
        if name not in standing:
            key = ", ".join(map(identifier, KEYS[name]))
            declared = ", ".join(f"{_declared(column)}{' not null' * column.required}" for column in columns)
            asked(database, f"create table {table(name)} ({declared}, primary key ({key}))")
            _comment(database, name, columns)


def _comment(database: Any, name: str, columns: Iterable[Column]) -> None:
    for column in columns:
        meaning = literal(f"{column.meaning} ({column.unit})")
        asked(database, f"comment on column {table(name)}.{identifier(column.name)} is {meaning}")


def _declared(column: Column) -> str:
    return f"{identifier(column.name)} {TYPES.get(column.type, column.type)}"


def _is_whole_before(con: duckdb.DuckDBPyConnection, database: Any, name: str, since: date) -> bool:
    """Whether a table that keeps earlier days has as many rows, and values of each column, of the days before one as the file has."""
    day = day_column(name)
    if day is None:
        return True
    columns = (identifier(column.name) for column in PUBLISHED[name] if column.name != "valid_to")
    values = ", ".join(f"count({column})" for column in columns)
    counted = f"select {values} from {table(name)} where {day} < date {literal(str(since))}"
    return asked(database, counted) == con.execute(counted).fetchall()


def _changed(name: str, since: str) -> str:
    """SQL for the rows of a table that may be others since a day."""
    listed = ", ".join(identifier(column.name) for column in PUBLISHED[name])
    day = day_column(name)
    ended = f" or valid_to >= date {literal(since)} - 1" * (day == "valid_from")
    condition = f"where {day} >= date {literal(since)}{ended}" if day else ""
    return f"select {listed} from {table(name)} {condition}"


def _stage(con: duckdb.DuckDBPyConnection, database: Any, name: str, since: str) -> None:
    """Brings the rows that may be others into a table that only this connection sees."""
    with database.cursor() as cursor:
        cursor.adbc_ingest(f"staged_{name}", con.sql(_changed(name, since)).to_arrow_reader(), temporary=True)
    asked(database, f"analyze {_staged(name)}")


def _merge(database: Any, name: str, since: str) -> None:
    """Makes a table what was staged: takes away what is gone, changes what is another, and leaves alone what is the same."""
    key = ", ".join(map(identifier, KEYS[name]))
    same = " and ".join(f"old.{each} = new.{each}" for each in map(identifier, KEYS[name]))
    rest = [identifier(column.name) for column in PUBLISHED[name] if column.name not in KEYS[name]]
    listed = ", ".join(identifier(column.name) for column in PUBLISHED[name])
    is_gone = f"not exists (select 1 from {_staged(name)} as new where {same})"
    for command in (
        *(taken_back(name, since, is_gone) or [f"delete from {table(name)} as old where {is_gone}"]),
        f"insert into {table(name)} as old ({listed}) select {listed} from {_staged(name)} on conflict ({key}) do update set "
        f"{', '.join(f'{each} = excluded.{each}' for each in rest)} "
        f"where ({', '.join(f'old.{each}' for each in rest)}) is distinct from ({', '.join(f'excluded.{each}' for each in rest)})",
        f"drop table {_staged(name)}",
    ):
        asked(database, command)


def _staged(name: str) -> str:
    return f"pg_temp.staged_{name}"


def _require_same(con: duckdb.DuckDBPyConnection, database: Any, name: str, since: str, where: str) -> None:
    """Holds what arrived against what was sent: rows, and of each column how many values, the least and the greatest."""
    changed = _changed(name, since)
    sent = con.execute(f"select count(*), {_measures(name, '')} from ({changed}) as sent").fetchall()
    arrived = asked(database, f"select count(*), {_measures(name, BY_BYTES)} from ({changed}) as arrived")
    if arrived != sent:
        raise WarehouseError(
            f"{where}: {name} did not arrive as it was sent ({sent[0][0]:,} rows; {arrived[0][0]:,} arrived). Its readers have the "
            "last whole publication. Look for triggers on it; publish again, and report it if it happens twice."
        )


def _measures(name: str, by_bytes: str) -> str:
    measures = []
    for column in PUBLISHED[name]:
        value = identifier(column.name)
        match column.type:
            case "VARCHAR":
                bounds = [f"min({value}{by_bytes})", f"max({value}{by_bytes})"]
            case "DOUBLE" | "DATE" | "TIMESTAMP" | "BIGINT":
                bounds = [f"min({value})", f"max({value})"]
            case "BOOLEAN":
                bounds = [f"sum(cast({value} as integer))"]
            case kind:
                bounds = [f"cast({each}(cast({value} as {kind})) as varchar)" for each in ("min", "max", "sum")]
        measures += [f"count({value})", *bounds]
    return ", ".join(measures)
