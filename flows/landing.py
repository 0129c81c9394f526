"""Extract: what a source holds now is landed as immutable Parquet batches, each with a manifest.

A batch is one file of a source: the columns that its mapping reads, as they are (CSV and JSON values as text). A file
that is unchanged is not landed again; a file that changed is landed anew and takes the place of its earlier version; a
file that is gone stays counted.

Of a table a batch is what one night read. The whole table takes the place of all that was landed of its source before;
what a later night reads on from the cursor adds to it, less the rows that are landed as they are. A row that is deleted
from the table stays counted until the whole table is read again.
"""

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import duckdb
import polars as pl

from config.errors import SourceError
from config.expressions import plain_column, scalar_sql, source_columns
from config.sources import AnyFiles, FilesSource, Format, PostgresSource, Source, alternatives, format_of
from config.tables import CONTENT_KEYS
from flows import postgres_tables
from flows.batches import Batch, TableRead, batches, current, verify, write_manifest
from flows.disk import sha256_of
from flows.duck import identifier, literal, parquet, rows, trying
from flows.forgotten import NOBODY, Forgotten
from flows.lookups import read_lookups, with_lookups
from flows.readers import (
    BrokenLine,
    Relation,
    columns_told,
    fault,
    forget_rejects,
    look_like_values,
    not_landed,
    relation,
    unreadable,
)
from flows.values import ROW_KEY, content, text

RESERVED = {
    ROW_KEY,
    "file_row_number",
    "rapport_batch",
    "rapport_delivered_at",
    "rapport_file",
    "rapport_rows",
    "rapport_source",
}
"""Names that no landed column may have."""

IDENTITY = {"orders": ("order_id", CONTENT_KEYS["orders"]), "engagements": (CONTENT_KEYS["engagements"],)}
"""The columns that say which row of its source a row is; its content says so where it has no key of its own."""

NOT_READ = "Nothing was read from it. Correct the mapping or the source, or give the column a list of alternatives."


@dataclass(frozen=True)
class _Landing:
    """What a source is landed with, whatever its kind.

    Attributes:
        con: a connection in UTC.
        role: orders or engagements.
        landed: where the batches of all sources lie.
        earlier: the batches ever landed of the source.
        known_at: when what is landed now became known, UTC.
        again: land what is unchanged too.
        limit: SQL that ends a select of no more rows than wanted.
        forgotten: accounts whose rows are left out.
    """

    con: duckdb.DuckDBPyConnection
    role: str
    landed: Path
    earlier: Sequence[Batch]
    known_at: datetime
    again: bool
    limit: str
    forgotten: Forgotten


def land(
    con: duckdb.DuckDBPyConnection,
    role: str,
    source: Source,
    landed: Path,
    now: datetime,
    again: bool = False,
    most_rows: int | None = None,
    forgotten: Forgotten = NOBODY,
) -> list[Batch]:
    """Lands the files of a source that are new or changed, or the rows of its table, and returns the batches landed.

    Of a column that both a file and a lookup have, the file's is taken.

    Args:
        con: a connection in UTC.
        role: orders or engagements.
        source: the source.
        landed: where the batches of all sources lie.
        now: when the rows became known, UTC; taken as later than all that is known, even where a clock was set back.
        again: land unchanged files too, and the whole table.
        most_rows: land only so many rows of each file or of the table, for a look.
        forgotten: accounts whose rows are left out.

    Raises:
        SourceError: a file is missing, empty, not what its name says, or has not the columns that the mapping reads;
            or the table cannot be read.
    """
    folder = landed / source.name
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    earlier = batches(landed, source.name)
    latest = [max(batch.known_at, batch.delivered_at) for batch in earlier]
    known_at = max([now.replace(tzinfo=None), *(moment + timedelta(microseconds=1) for moment in latest)])
    limit = "" if most_rows is None else f"limit {most_rows}"
    landing = _Landing(con, role, landed, earlier, known_at, again, limit, forgotten)
    with trying(con):
        new = _land_table(source, landing) if isinstance(source, PostgresSource) else _land_files(source, landing)
    _clear(folder)
    return new


def _land_files(source: AnyFiles, landing: _Landing) -> list[Batch]:
    con, landed = landing.con, landing.landed
    where, folder = f"{landing.role} (source {source.name})", landed / source.name
    taken = {batch.batch for batch in landing.earlier}
    latest = {batch.origin: batch for batch in current(landing.earlier)}
    lookups = read_lookups(con, where, _root(where, source), source.lookups, folder / "lookup.part")
    new = []
    for place, (origin, file) in enumerate(_origins(where, source).items()):
        here, before = f"{where}, file {origin}", latest.get(origin)
        file_sha256 = _sha256_of(here, file)
        sha256 = _digest([file_sha256, *(part for lookup in lookups for part in lookup.made_of)])
        unchanged = before is not None and before.origin_sha256 == sha256 and not landing.again
        if unchanged and _wanted(landing.role, source, before.available, here) == (before.columns, before.key):
            continue
        table = relation(con, here, file, _format(source, file), folder / "source.part")
        table = table if table.columns else _without_rows(table, source)
        joined = with_lookups(table, lookups)
        available = tuple(joined.columns)
        columns, key = _wanted(landing.role, source, available, here)
        batch = Batch(
            role=landing.role,
            source=source.name,
            batch=_unused(_digest([source.name, origin, sha256, *columns])[:16], taken),
            origin=origin,
            origin_sha256=sha256,
            file_sha256=file_sha256,
            available=available,
            key=key,
            columns=columns,
            known_at=landing.known_at,
            delivered_at=(
                before.delivered_at
                if before and before.file_sha256 == file_sha256
                else landing.known_at + timedelta(microseconds=place)
            ),
            account=account_of(source, available, here),
        )
        select = _remembered(landing, table, batch, _select(con, table, joined, batch))
        new.append(_written(landing, batch, table, f"{select} {landing.limit}"))
    return new


def _without_rows(table: Relation, source: AnyFiles) -> Relation:
    """A file that says nothing, not even what its columns are: those that the source reads, and no row."""
    read = (each for mapped in source.columns.values() for each in alternatives(mapped))
    names = [
        *(name for each in read for name in source_columns(each)),
        *(on for lookup in source.lookups for on in lookup.on),
    ]
    columns = dict.fromkeys({name.lower(): name for name in sorted(names)}.values(), "VARCHAR")
    listed = ", ".join(f"cast(null as varchar) as {identifier(name)}" for name in columns)
    return replace(table, columns=columns, sql=f"(select {listed} where false)")


def _land_table(source: PostgresSource, landing: _Landing) -> list[Batch]:
    con, landed = landing.con, landing.landed
    where, name = f"{landing.role} (source {source.name}), table {source.table}", f"{source.database}.{source.table}"
    counted = [] if landing.again else current(landing.earlier)
    with postgres_tables.snapshot(where, source) as table:
        available = tuple(table.columns)
        columns, key = _wanted(landing.role, source, available, where)
        before = counted[-1] if counted and _reads_alike(counted[-1], name, source, columns, key) else None
        high = before.table.high if before and before.table else None
        since = postgres_tables.since(table, source.cursor, high) if source.cursor and high else None
        condition = f"{f'where {since}' if since else ''} {landing.limit}"
        file = postgres_tables.fetched(con, table, columns[:-1], key, condition, landed / source.name / "source.part")
    origin = f"{source.table} at {landing.known_at.isoformat()}"
    batch = Batch(
        role=landing.role,
        source=source.name,
        batch=_digest([source.name, name, origin, *columns])[:16],
        origin=origin,
        origin_sha256="",
        file_sha256="",
        available=available,
        key=key,
        columns=columns,
        known_at=landing.known_at,
        delivered_at=landing.known_at,
        table=TableRead(
            name, source.cursor, since, postgres_tables.highest(con, table, file, landing.known_at) or high
        ),
        account=account_of(source, available, where),
    )
    select = _remembered(landing, file, batch, _select(con, file, file, batch))
    if since:
        mapping = resolved(source.columns, available, where, NOT_READ)
        select = _not_yet_landed(con, select, file, batch, mapping, counted, landed)
    nothing_new = not rows(con, f"({select})") if since else before and _is_landed(con, select, before, landed)
    return [] if nothing_new else [_written(landing, batch, file, select)]


def _reads_alike(batch: Batch, name: str, source: PostgresSource, columns: tuple[str, ...], key: str | None) -> bool:
    """Whether a batch holds what a source would read of its table now."""
    return (
        batch.table is not None
        and (batch.table.table, batch.table.cursor) == (name, source.cursor)
        and (batch.columns, batch.key) == (columns, key)
    )


def _not_yet_landed(
    con: duckdb.DuckDBPyConnection,
    select: str,
    file: Relation,
    batch: Batch,
    mapping: Mapping[str, str],
    counted: Sequence[Batch],
    landed: Path,
) -> str:
    """The select without the rows that were landed last as they are; one that is again what it was before is landed again."""
    types = _types(con, select)
    alike = [other for other in counted if (other.columns, other.types) == (batch.columns, types)]
    if not alike or batch.table is None or batch.table.cursor is None:
        return select
    verify(landed, alike)
    cursor = identifier(batch.table.cursor)
    keys = [f"try({scalar_sql(mapping[name])})" for name in IDENTITY[batch.role] if name in mapping]
    files = parquet(*(other.path(landed) for other in alike), more=", filename = 'rapport_file'")
    in_order = ", ".join(literal(other.batch) for other in alike)
    number = f"list_position([{in_order}], parse_filename(rapport_file, true))"
    return (
        f"{select} except select {', '.join(map(identifier, batch.columns))} from {files} "
        f"where {cursor} is null or {cursor} >= (select min({cursor}) from {file.sql}) "
        f"qualify {number} = max({number}) over (partition by {', '.join([*keys, ROW_KEY])})"
    )


def _is_landed(con: duckdb.DuckDBPyConnection, select: str, batch: Batch, landed: Path) -> bool:
    """Whether a batch holds just the rows of a select, in any order."""
    verify(landed, [batch])
    listed = ", ".join(map(identifier, batch.columns))
    found = [
        con.execute(f"select count(*), sum(hash({listed})) from {relation}").fetchall()
        for relation in (f"({select})", parquet(batch.path(landed)))
    ]
    return _types(con, select) == batch.types and found[0] == found[1]


def _types(con: duckdb.DuckDBPyConnection, select: str) -> tuple[str, ...]:
    return tuple(row[1] for row in con.execute(f"describe {select}").fetchall())


def resolved(columns: dict[str, str | list[str]], available: Sequence[str], where: str, advice: str) -> dict[str, str]:
    """The expression that each of our columns takes in a file with these columns.

    Raises:
        SourceError: the file has none of the alternatives of a column; ends with the advice.
    """
    lowered = {name.lower() for name in available}
    chosen, faults = {}, []
    for ours, mapped in columns.items():
        choices = alternatives(mapped)
        fitting = [each for each in choices if {name.lower() for name in source_columns(each)} <= lowered]
        if fitting:
            chosen[ours] = fitting[0]
        else:
            missing = sorted({name for each in choices for name in source_columns(each) if name.lower() not in lowered})
            shown = [] if look_like_values(available) else available
            near = [hit for name in missing for hit in get_close_matches(name, shown, n=1)]
            hint = f" Did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
            faults.append(f"{where}: there is no column {', '.join(missing)}, which {ours} is read from.{hint}")
    if faults:
        raise SourceError("\n".join([*faults, f"{columns_told(available)} {advice}"]))
    return chosen


def not_computed(where: str, column: str, expression: str, error: Exception) -> SourceError:
    """The error for an expression that does not fit the columns of a file."""
    return SourceError(
        f"{where}: {column} cannot be read as {expression} ({fault(error)}). Nothing was read. "
        "Correct the expression; CSV and JSON values are text, as are Postgres numerics without fixed digits, so numbers "
        "are written cast(x as decimal(18,2))."
    )


def utc_now() -> datetime:
    """The clock, read once a run."""
    return datetime.now(UTC)


def _clear(folder: Path) -> None:
    """Takes away copies of files, and what a run that was killed had begun to write."""
    for leftover in folder.glob("*.part"):
        leftover.unlink()


def _origins(where: str, source: AnyFiles) -> dict[str, Path]:
    """The files of a source, each with the name that it is known by: a package may be installed elsewhere tomorrow."""
    root = _root(where, source)
    is_one = (root / source.path).is_file()  # whatever brackets are in its name
    found = [source.path] if is_one else glob.glob(source.path, root_dir=root, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    names = sorted(name for name in found if (root / name).is_file())
    foreign = [os.fsencode(name).decode(errors="replace") for name in names if not _is_unicode(name)]
    if foreign:
        raise SourceError(
            f"{where}: the names of {len(foreign):,} files are not in UTF-8, the first is {foreign[0]}. Nothing was read. "
            "Rename them."
        )
    if not names:
        place = Path.cwd() if isinstance(source, FilesSource) else f"the package {source.package}"
        raise SourceError(
            f"{where}: no file matches {source.path}. Nothing was read. Bring the file, or correct the path; "
            f"it is looked for from {place}."
        )
    return {
        str(Path(name) if isinstance(source, FilesSource) else Path(source.package, name)): root / name
        for name in names
    }


def _is_unicode(name: str) -> bool:
    """Whether a file's name has no bytes that Python could not decode."""
    return not re.search("[\udc80-\udcff]", name)


def _root(where: str, source: AnyFiles) -> Path:
    if isinstance(source, FilesSource):
        return Path()
    spec = find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"{where}: the package {source.package} is not installed. Nothing was read. "
            "Install it; the bundled examples' data comes with the extra 'examples'."
        )
    return Path(spec.submodule_search_locations[0])


def _format(source: AnyFiles, file: Path) -> Format:
    return getattr(source, "format", None) or format_of(file.name)


def _wanted(role: str, source: Source, available: Sequence[str], where: str) -> tuple[tuple[str, ...], str | None]:
    """The columns to land: those that the mapping reads, a table's cursor, and the row's content. And what a row's own key is."""
    mapping = resolved(source.columns, available, where, NOT_READ)
    read = [column for each in mapping.values() for column in sorted(source_columns(each))]
    cursor = [source.cursor] if isinstance(source, PostgresSource) and source.cursor else []
    needed = {column.lower(): column for column in [*read, *cursor]}
    reserved = sorted(RESERVED & set(needed))
    if reserved:
        raise SourceError(
            f"{where}: Rapport keeps the name {', '.join(reserved)} for itself. Nothing was read. "
            "Rename the column in the source."
        )
    return (*(column for _, column in sorted(needed.items())), ROW_KEY), mapping.get(CONTENT_KEYS[role])


def account_of(source: Source, available: Sequence[str], where: str) -> str:
    """The expression of a row's account among these columns.

    Raises:
        SourceError: there are not those that it reads.
    """
    return resolved({"account_id": source.columns["account_id"]}, available, where, NOT_READ)["account_id"]


def _select(con: duckdb.DuckDBPyConnection, file: Relation, joined: Relation, batch: Batch) -> str:
    """The select of a batch's columns; the content of a row only where it has no key of its own."""
    said = file.content or content(file.columns)
    if batch.key:
        key = as_text(con, file.where, file.kind, joined.sql, CONTENT_KEYS[batch.role], batch.key)
        said = f"case when {key} is null then {said} end"
    listed = ", ".join(identifier(name) for name in batch.columns if name != ROW_KEY)
    return f"select {listed}, {said} as {ROW_KEY} from {joined.sql}"


def as_text(con: duckdb.DuckDBPyConnection, where: str, kind: str, relation: str, column: str, expression: str) -> str:
    """SQL of what an expression says of each row of a relation as text, NULL where it cannot be computed.

    Args:
        con: a connection on which `try` catches all.
        where: role, source and file, for messages.
        kind: what the file is taken to be, for messages.
        relation: SQL to select from.
        column: ours, that is read by the expression.
        expression: over the columns of the relation.

    Raises:
        SourceError: it does not fit them, or they cannot be read.
    """
    value = f"try({scalar_sql(expression)})"
    try:
        computed = con.execute(f"select {value} from {relation} limit 1")
        type_ = str(computed.description[0][1])
        computed.fetchall()  # an unfinished result would keep the connection from other work
    except duckdb.IOException as error:
        raise unreadable(where, kind, error) from error
    except duckdb.Error as error:
        raise not_computed(where, column, expression, error) from error
    return text(value, type_)


def _remembered(landing: _Landing, file: Relation, batch: Batch, select: str) -> str:
    """The select of a batch without the rows of accounts that were forgotten."""
    if not (landing.forgotten.since and batch.account):
        return select
    account = as_text(landing.con, file.where, file.kind, f"({select})", "account_id", batch.account)
    return landing.forgotten.left_out(select, account)


def _written(landing: _Landing, batch: Batch, file: Relation, select: str) -> Batch:
    con, landed = landing.con, landing.landed
    target = batch.path(landed)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    forget_rejects(con)
    try:
        con.execute(f"copy ({select}) to {literal(str(temporary))} (format parquet, compression zstd)")
    except duckdb.Error as error:
        if temporary.name not in str(error):
            raise unreadable(file.where, file.kind, error) from error
        raise not_landed(file.where, target.parent, error) from error
    written_rows = parquet(temporary)
    is_read = bool(batch.account and plain_column(batch.account))
    broken = [line._replace(text=landing.forgotten.shown(line.text, is_read)) for line in file.broken()]
    if broken:
        _write_broken(broken, batch.broken_path(landed))
    written = replace(
        batch,
        types=_types(con, f"select * from {written_rows}"),
        rows=rows(con, written_rows),
        broken_lines=len(broken),
        sha256=sha256_of(temporary),
        broken_sha256=sha256_of(batch.broken_path(landed)) if broken else "",
    )
    temporary.replace(target)
    write_manifest(written, written.manifest_path(landed))
    return written


def _write_broken(broken: Sequence[BrokenLine], path: Path) -> None:
    pl.DataFrame(broken, schema={"line": pl.Int64, "text": pl.String, "fault": pl.String}, orient="row").write_parquet(
        path
    )


def _unused(batch: str, taken: set[str]) -> str:
    numbered = (f"{batch}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in chain([batch], numbered) if name not in taken)


def _sha256_of(where: str, file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:
        raise unreadable(where, "a file that can be read", error) from error


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
