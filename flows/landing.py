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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import duckdb
import polars as pl
from pydantic import TypeAdapter, ValidationError

from config.errors import SourceError
from config.expressions import scalar_sql, source_columns
from config.sources import AnyFiles, FilesSource, Format, PostgresSource, Source, alternatives, format_of
from config.tables import CONTENT_KEYS
from flows import postgres
from flows.duck import identifier, literal, parquet, rows
from flows.readers import (
    FRACTIONAL,
    ROW_KEY,
    BrokenLine,
    Relation,
    content,
    fault,
    forget_rejects,
    not_landed,
    relation,
    unreadable,
)

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

SHOWN = 30

NOT_READ = "Nothing was read from it. Correct the mapping or the source, or give the column a list of alternatives."


@dataclass(frozen=True)
class TableRead:
    """What of a table a batch holds.

    Attributes:
        table: the table, with its database.
        cursor: the column that tells what is new; None where each night reads the whole table.
        since: the condition by which only new and late rows were read; None for the whole table.
        high: the highest value of the cursor so far, as text; None where there was none.
    """

    table: str
    cursor: str | None
    since: str | None
    high: str | None


@dataclass(frozen=True)
class Batch:
    """A landed batch: one version of one file of a source, or what one night read of a table.

    Attributes:
        role: orders or engagements.
        source: name of the source.
        batch: id, a hash of what was read.
        origin: the file it came from, or the table and when it was read.
        origin_sha256: of that file and of its lookups; empty for a table.
        file_sha256: of that file alone; empty for a table.
        available: the columns that it and its lookups had.
        key: the expression of the row's own key, see `CONTENT_KEYS`.
        columns: the source columns landed.
        known_at: when it was landed, UTC.
        delivered_at: when its file first came as it is, UTC: what is landed again comes no later for that. Of two versions
            of a row the one delivered later stands; files that are landed together count in the order of their names.
        types: their DuckDB types.
        rows: rows landed.
        broken_lines: lines that could not be read; they stand in a second file beside the batch.
        sha256: of the landed Parquet file.
        broken_sha256: of the file with the broken lines; empty where there is none.
        table: what it holds of a table; None for a file.
    """

    role: str
    source: str
    batch: str
    origin: str
    origin_sha256: str
    file_sha256: str
    available: tuple[str, ...]
    key: str | None
    columns: tuple[str, ...]
    known_at: datetime
    delivered_at: datetime
    types: tuple[str, ...] = ()
    rows: int = 0
    broken_lines: int = 0
    sha256: str = ""
    broken_sha256: str = ""
    table: TableRead | None = None

    @property
    def where(self) -> str:
        """Role, source and origin, for messages."""
        return f"{self.role} (source {self.source}), {'table' if self.table else 'file'} {self.origin}"

    @property
    def read(self) -> int:
        """All that was read: rows and broken lines."""
        return self.rows + self.broken_lines

    def path(self, landed: Path) -> Path:
        """The batch's Parquet file."""
        return landed / self.source / f"{self.batch}.parquet"

    def broken_path(self, landed: Path) -> Path:
        """The lines of the batch that could not be read."""
        return landed / self.source / f"{self.batch}.broken"


_MANIFEST = TypeAdapter(Batch)


@dataclass(frozen=True)
class _Lookup:
    """A lookup as a temporary table, the columns that it is found by, and what it is made of."""

    table: Relation
    on: tuple[str, ...]
    made_of: tuple[str, ...]


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
    """

    con: duckdb.DuckDBPyConnection
    role: str
    landed: Path
    earlier: Sequence[Batch]
    known_at: datetime
    again: bool
    limit: str


def land(
    con: duckdb.DuckDBPyConnection,
    role: str,
    source: Source,
    landed: Path,
    now: datetime,
    again: bool = False,
    most_rows: int | None = None,
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
    landing = _Landing(con, role, landed, earlier, known_at, again, limit)
    new = _land_table(source, landing) if isinstance(source, PostgresSource) else _land_files(source, landing)
    _clear(folder)
    return new


def _land_files(source: AnyFiles, landing: _Landing) -> list[Batch]:
    con, landed = landing.con, landing.landed
    where, folder = f"{landing.role} (source {source.name})", landed / source.name
    taken = {batch.batch for batch in landing.earlier}
    latest = {batch.origin: batch for batch in current(landing.earlier)}
    lookups = _lookups(con, where, source, folder / "lookup.part")
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
        joined = _joined(table, lookups)
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
        )
        new.append(_written(con, batch, table, f"{_select(con, table, joined, batch)} {landing.limit}", landed))
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
    with postgres.snapshot(where, source) as table:
        available = tuple(table.columns)
        columns, key = _wanted(landing.role, source, available, where)
        before = counted[-1] if counted and _reads_alike(counted[-1], name, source, columns, key) else None
        high = before.table.high if before and before.table else None
        since = postgres.since(table, source.cursor, high) if source.cursor and high else None
        condition = f"{f'where {since}' if since else ''} {landing.limit}"
        file = postgres.fetched(con, table, columns[:-1], key, condition, landed / source.name / "source.part")
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
        table=TableRead(name, source.cursor, since, postgres.highest(con, table, file, landing.known_at) or high),
    )
    select = _select(con, file, file, batch)
    if since:
        select = _not_yet_landed(con, select, file, batch, counted, landed)
    nothing_new = not rows(con, f"({select})") if since else before and _is_landed(con, select, before, landed)
    return [] if nothing_new else [_written(con, batch, file, select, landed)]


def _reads_alike(batch: Batch, name: str, source: PostgresSource, columns: tuple[str, ...], key: str | None) -> bool:
    """Whether a batch holds what a source would read of its table now."""
    return (
        batch.table is not None
        and (batch.table.table, batch.table.cursor) == (name, source.cursor)
        and (batch.columns, batch.key) == (columns, key)
    )


def _not_yet_landed(
    con: duckdb.DuckDBPyConnection, select: str, file: Relation, batch: Batch, counted: Sequence[Batch], landed: Path
) -> str:
    """The select without the rows that stand in a batch that counts as they are."""
    types = _types(con, select)
    alike = [other for other in counted if (other.columns, other.types) == (batch.columns, types)]
    if not alike or batch.table is None or batch.table.cursor is None:
        return select
    verify(landed, alike)
    cursor = identifier(batch.table.cursor)
    return (
        f"{select} except select {', '.join(map(identifier, batch.columns))} from {parquet(*(other.path(landed) for other in alike))} "
        f"where {cursor} is null or {cursor} >= (select min({cursor}) from {file.sql})"
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


def batches(landed: Path, source: str) -> list[Batch]:
    """All batches ever landed of a source, the earliest first.

    Raises:
        SourceError: a manifest cannot be read.
    """
    found = [_manifest(path) for path in sorted((landed / source).glob("*.json"))]
    return sorted(found, key=lambda batch: (batch.known_at, batch.batch))


def current(landed: Iterable[Batch]) -> list[Batch]:
    """The batches that count: of each file the version landed last, of a table what was read since it last was whole.

    Args:
        landed: batches, those of a source in the order of `batches`.
    """
    counted: dict[tuple[str, str], Batch] = {}
    for batch in landed:
        if batch.table and not batch.table.since:
            counted = {place: other for place, other in counted.items() if other.source != batch.source}
        counted[batch.source, batch.origin] = batch
    return list(counted.values())


def verify(landed: Path, counted: Iterable[Batch]) -> None:
    """Holds the landed files against their manifests: of a flipped bit Parquet makes wrong data, and no error.

    Raises:
        SourceError: a file is not what was landed, or gone.
    """
    damaged = [
        batch
        for batch in counted
        if not _is_as_landed(batch.path(landed), batch.sha256)
        or not _is_as_landed(batch.broken_path(landed), batch.broken_sha256)
    ]
    if damaged:
        first = damaged[0]
        raise SourceError(
            f"{first.where}: what was landed of it on {first.known_at:%Y-%m-%d} in {first.path(landed)} is damaged or "
            f"gone, as are {len(damaged):,} batches in all. Nothing was published. Run once with --rebuild, which lands "
            "every source again; bring back a file that is gone, or its batch from a backup."
        )


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
            near = [hit for name in missing for hit in get_close_matches(name, available, n=1)]
            hint = f" Did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
            faults.append(f"{where}: there is no column {', '.join(missing)}, which {ours} is read from.{hint}")
    if faults:
        raise SourceError("\n".join([*faults, f"{_named(available)} {advice}"]))
    return chosen


def not_computed(where: str, column: str, expression: str, error: Exception) -> SourceError:
    """The error for an expression that does not fit the columns of a file."""
    return SourceError(
        f"{where}: {column} cannot be read as {expression} ({fault(error)}). Nothing was read. "
        "Correct the expression; CSV and JSON values are text, as are Postgres numerics without fixed digits, so numbers "
        "are written cast(x as decimal(18,2))."
    )


def text(sql: str, kind: str) -> str:
    """SQL of a value as text without surrounding blanks, NULL where empty.

    A whole number that a file keeps as a float or a decimal reads like the integer; what is not finite is NULL.
    """
    if FRACTIONAL.fullmatch(kind):
        whole = f"case when {sql} = trunc({sql}) then cast(try_cast({sql} as hugeint) as varchar) end"
        sql = f"case when isfinite(cast({sql} as double)) then coalesce({whole}, cast({sql} as varchar)) end"
    return f"nullif(trim(cast({sql} as varchar)), '')"


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
    try:
        spec = find_spec(source.package)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"{where}: the package {source.package} is not installed. Nothing was read. "
            "Install it; the bundled examples' data comes with the extra 'examples'."
        )
    return Path(spec.submodule_search_locations[0])


def _format(source: AnyFiles, file: Path) -> Format:
    return getattr(source, "format", None) or format_of(file.name)


def _lookups(con: duckdb.DuckDBPyConnection, where: str, source: AnyFiles, scratch: Path) -> list[_Lookup]:
    """The lookups of a source, each read into a temporary table: half a lookup would change rows unseen."""
    found = []
    for number, lookup in enumerate(source.lookups):
        file = _root(where, source) / lookup.path
        table = relation(con, f"{where}, lookup {file.name}", file, format_of(file.name), scratch)
        _require_columns(table, lookup.on)
        forget_rejects(con)
        try:
            con.execute(f"create or replace temp table lookup_{number} as select * from {table.sql}")
        except duckdb.Error as error:
            raise unreadable(table.where, table.kind, error) from error
        broken = table.broken()
        if broken:
            raise SourceError(
                f"{table.where}: {len(broken):,} lines cannot be read, the first is {broken[0].line} "
                f"({broken[0].fault}). Nothing was read. Correct the file: a lookup counts only as a whole."
            )
        found.append(_Lookup(replace(table, sql=f"lookup_{number}"), lookup.on, (*lookup.on, _sha256(file))))
        _require_unique(con, found[-1])
    return found


def _require_columns(table: Relation, keys: Iterable[str]) -> None:
    present = {name.lower() for name in table.columns}
    missing = [name for name in keys if name.lower() not in present]
    if missing:
        raise SourceError(
            f"{table.where}: there is no column {', '.join(missing)}, by which it is looked up. "
            f"{_named(list(table.columns))} Nothing was read. Correct `on`: the columns are named alike in both files."
        )


def _require_unique(con: duckdb.DuckDBPyConnection, lookup: _Lookup) -> None:
    keys = ", ".join(_text_of(lookup.table, name) for name in lookup.on)
    found = con.execute(
        f"select {keys} from {lookup.table.sql} group by all having count(*) > 1 order by all"
    ).fetchall()
    twice = [row for row in found if None not in row]
    if twice:
        raise SourceError(
            f"{lookup.table.where}: {len(twice):,} values of {', '.join(lookup.on)} stand there more than once, first "
            f"{', '.join(twice[0])}, and would double rows. Nothing was read. Make the key of a lookup unique."
        )


def _text_of(table: Relation, column: str) -> str:
    """SQL of a column as text, so that a number in one file finds the same number written as text in another."""
    kind = next(kind for name, kind in table.columns.items() if name.lower() == column.lower())
    return text(f"{table.sql}.{identifier(column)}", kind)


def _joined(file: Relation, lookups: Sequence[_Lookup]) -> Relation:
    """A file with the columns of its lookups; of a column that more than one has the first."""
    own = replace(file, sql="file")
    joins = ""
    for lookup in lookups:
        _require_columns(replace(file, where=f"{file.where}, looked up in {lookup.table.where}"), lookup.on)
        on = " and ".join(f"{_text_of(own, name)} = {_text_of(lookup.table, name)}" for name in lookup.on)
        joins += f" left join {lookup.table.sql} on {on}"
    owners = {
        name.lower(): (table, name)
        for table in (*(lookup.table for lookup in reversed(lookups)), own)
        for name in table.columns
    }
    listed = ", ".join(f"{table.sql}.{identifier(name)}" for table, name in owners.values())
    columns = {name: table.columns[name] for table, name in owners.values()}
    return replace(file, columns=columns, sql=f"(select {listed} from {file.sql} as file{joins})")


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


def _select(con: duckdb.DuckDBPyConnection, file: Relation, joined: Relation, batch: Batch) -> str:
    """The select of a batch's columns; the content of a row only where it has no key of its own."""
    said = file.content or content(file.columns)
    if batch.key:
        value = f"try({scalar_sql(batch.key)})"
        try:
            computed = con.execute(f"select {value} from {joined.sql} limit 1")
            kind = str(computed.description[0][1])
            computed.fetchall()  # an unfinished result would keep the connection from other work
        except duckdb.IOException as error:
            raise unreadable(file.where, file.kind, error) from error
        except duckdb.Error as error:
            raise not_computed(file.where, CONTENT_KEYS[batch.role], batch.key, error) from error
        said = f"case when {text(value, kind)} is null then {said} end"
    listed = ", ".join(identifier(name) for name in batch.columns if name != ROW_KEY)
    return f"select {listed}, {said} as {ROW_KEY} from {joined.sql}"


def _written(con: duckdb.DuckDBPyConnection, batch: Batch, file: Relation, select: str, landed: Path) -> Batch:
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
    broken = file.broken()
    if broken:
        _write_broken(broken, batch.broken_path(landed))
    written = replace(
        batch,
        types=_types(con, f"select * from {written_rows}"),
        rows=rows(con, written_rows),
        broken_lines=len(broken),
        sha256=_sha256(temporary),
        broken_sha256=_sha256(batch.broken_path(landed)) if broken else "",
    )
    temporary.replace(target)
    _write_manifest(written, target.with_suffix(".json"))
    return written


def _write_broken(broken: Sequence[BrokenLine], path: Path) -> None:
    pl.DataFrame(broken, schema={"line": pl.Int64, "text": pl.String, "fault": pl.String}, orient="row").write_parquet(
        path
    )


def _write_manifest(batch: Batch, path: Path) -> None:
    temporary = path.with_suffix(".json.part")
    temporary.write_bytes(_MANIFEST.dump_json(batch, indent=1))
    temporary.replace(path)


def _manifest(path: Path) -> Batch:
    try:
        return _MANIFEST.validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(
            f"landed batch {path}: its manifest cannot be read. Nothing was published. Restore it from a backup, or "
            "remove it: the batch is then landed again, if its file is still there."
        ) from error


def _is_as_landed(path: Path, sha256: str) -> bool:
    return not sha256 or (path.is_file() and _sha256(path) == sha256)


def _named(columns: Sequence[str]) -> str:
    """What columns a file has; not if they look like the values of a row, which may be personal."""
    if any(re.search(r"@|^[-+.\d]*\d[-+.,:\d\sTZ]*$", name) for name in columns):
        return "The names of its columns look like the values of a row: is the header missing?"
    more = f" and {len(columns) - SHOWN:,} more" if len(columns) > SHOWN else ""
    return f"Its columns are {', '.join(name[:SHOWN] for name in columns[:SHOWN])}{more}."


def _unused(batch: str, taken: set[str]) -> str:
    names = (batch, *(f"{batch}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _sha256_of(where: str, file: Path) -> str:
    try:
        return _sha256(file)
    except OSError as error:
        raise unreadable(where, "a file that can be read", error) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
