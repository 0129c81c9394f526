"""Lookups: further files of a source, whose columns are joined to its rows by a key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from config.errors import SourceError
from config.sources import Lookup, format_of
from flows.disk import sha256_of
from flows.duck import identifier
from flows.readers import Relation, columns_told, forget_rejects, relation, unreadable
from flows.values import text


@dataclass(frozen=True)
class ReadLookup:
    """A lookup as a temporary table, the columns that it is found by, and what it is made of."""

    table: Relation
    on: tuple[str, ...]
    made_of: tuple[str, ...]


def read_lookups(
    con: duckdb.DuckDBPyConnection, where: str, root: Path, lookups: Iterable[Lookup], scratch: Path
) -> list[ReadLookup]:
    """The lookups of a source, each read into a temporary table: half a lookup would change rows unseen.

    Args:
        con: the connection that will read the source.
        where: role and source, for messages.
        root: the directory from which the source's paths are given.
        lookups: the lookups as the source names them.
        scratch: where a cleaned copy of one may be put.

    Raises:
        SourceError: one cannot be read as a whole, has not the columns that it is found by, or has a key twice.
    """
    found = []
    for number, lookup in enumerate(lookups):
        file = root / lookup.path
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
        found.append(ReadLookup(replace(table, sql=f"lookup_{number}"), lookup.on, (*lookup.on, sha256_of(file))))
        _require_unique(con, found[-1])
    return found


def with_lookups(file: Relation, lookups: Sequence[ReadLookup]) -> Relation:
    """A file with the columns of its lookups; of a column that more than one has the first.

    Raises:
        SourceError: the file has not the columns by which one is found.
    """
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


def _require_columns(table: Relation, keys: Iterable[str]) -> None:
    present = {name.lower() for name in table.columns}
    missing = [name for name in keys if name.lower() not in present]
    if missing:
        raise SourceError(
            f"{table.where}: there is no column {', '.join(missing)}, by which it is looked up. "
            f"{columns_told(list(table.columns))} Nothing was read. Correct `on`: the columns are named alike in both files."
        )


def _require_unique(con: duckdb.DuckDBPyConnection, lookup: ReadLookup) -> None:
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
