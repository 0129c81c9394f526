"""How DuckDB reads one file of a source: as a relation with its columns, and the lines of it that cannot be read.

CSV and JSON values arrive as text, so that no value is lost or changed by guessing its type; Parquet keeps its types.
"""

import codecs
import csv
import glob
import gzip
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from config.errors import SourceError
from config.sources import Format
from flows.duck import identifier, literal

DELIMITERS = ",;\t|"
CHUNK_BYTES = 4 * 1024**2
SHOWN_CHARACTERS = 10_000

_NOT_TEXT = {
    b"<": "HTML or XML, perhaps a login or error page that was saved under this name",
    b"PK\x03\x04": "an Excel or ZIP file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed by gzip, and its name does not end in .gz",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}


class BrokenLine(NamedTuple):
    """A line that cannot be read: its number from 1 (in a JSON array the element's), its beginning, and why."""

    line: int
    text: str
    fault: str


@dataclass(frozen=True)
class Relation:
    """A file that DuckDB can select from.

    Attributes:
        where: role, source and file, for messages.
        kind: what the file is taken to be, for messages.
        columns: its columns with their DuckDB types.
        sql: a relation to select from.
        broken: after `sql` was read, gives the lines that could not be.
    """

    where: str
    kind: str
    columns: dict[str, str]
    sql: str
    broken: Callable[[], list[BrokenLine]]


def relation(con: duckdb.DuckDBPyConnection, where: str, file: Path, file_format: Format, scratch: Path) -> Relation:
    """The relation that reads a file.

    Args:
        con: the connection that will read it.
        where: role, source and file, for messages.
        file: the file.
        file_format: csv, json or parquet.
        scratch: where a cleaned copy of a text file may be put, for as long as the relation is in use.

    Raises:
        SourceError: the file is missing, empty, or not what its format says.
    """
    if not file.is_file():
        raise SourceError(f"{where}: there is no such file. Nothing was read. Bring it, or correct the path {file}.")
    if file.stat().st_size == 0:
        raise SourceError(f"{where}: the file is empty. Nothing was read. Deliver it again, or remove it.")
    return _READERS[file_format](con, where, file, scratch)


def unreadable(where: str, kind: str, error: Exception) -> SourceError:
    """The error for a file that is not what it should be."""
    return SourceError(f"{where}: it is not {kind} ({fault(error)}). Nothing was read. Deliver the file again.")


def fault(error: Exception) -> str:
    """What an error says, in one line and without values: DuckDB puts those in single quotes."""
    return re.sub(r"(?<!\w)'.*'", "'...'", str(error).splitlines()[0]).strip().rstrip(".")


def path_literal(path: Path) -> str:
    """A path as a SQL literal that DuckDB takes for this one file, and not for a pattern."""
    return literal(glob.escape(str(path)))


def _csv(con: duckdb.DuckDBPyConnection, where: str, file: Path, scratch: Path) -> Relation:
    kind = "a CSV file in UTF-8"
    ends, start = _surveyed(where, kind, file)
    delimiter, header = _header(where, kind, start.decode("utf-8-sig", errors="replace"))
    columns = [name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)]
    _require_distinct(where, columns)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    options = f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', store_rejects = true, rejects_limit = 0"

    def read(source: Path) -> str:
        return f"read_csv({path_literal(source)}, columns = {{{types}}}, auto_detect = false, header = true, {options})"

    sql = read(file)
    if len(ends) > 1 and not _is_parsed(con, sql):
        sql = read(_cleaned(file, scratch))
    return Relation(where, kind, dict.fromkeys(columns, "VARCHAR"), sql, lambda: _rejected(con))


def _is_parsed(con: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether DuckDB can read a CSV file with several kinds of line end: it can where all but one stand in quotes."""
    forget_rejects(con)
    try:
        con.execute(f"select count(*) from {sql}").fetchall()
    except duckdb.Error:
        return False
    return not _rejected(con)


def forget_rejects(con: duckdb.DuckDBPyConnection) -> None:
    """Empties what the CSV reader says of broken lines; it adds to that with each file that it reads."""
    con.execute("drop table if exists reject_errors")
    con.execute("drop table if exists reject_scans")


def _header(where: str, kind: str, start: str) -> tuple[str, list[str]]:
    """The delimiter and the names of a CSV file's columns; names in quotes may hold delimiters and line ends."""
    first = re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", start), maxsplit=1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        header = next(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise unreadable(where, kind, error) from error
    if not any(header):
        raise SourceError(f"{where}: its first line names no columns. Nothing was read. Deliver it with a header.")
    if "\N{REPLACEMENT CHARACTER}" in "".join(header):
        raise unreadable(where, kind, ValueError("the names of its columns are in another encoding"))
    return delimiter, header


def _rejected(con: duckdb.DuckDBPyConnection) -> list[BrokenLine]:
    """The lines that the CSV reader refused; a quote that is never closed takes many lines with it."""
    found = con.execute(
        "select line, coalesce(any_value(csv_line), ''), min(error_message) from reject_errors "
        "group by line order by line"
    ).fetchall()
    return [
        BrokenLine(line + offset, text[:SHOWN_CHARACTERS], why.rstrip("."))
        for line, lines, why in found
        for offset, text in enumerate(re.split(r"\r?\n|\r", lines.rstrip("\r\n")))
    ]


def _parquet(con: duckdb.DuckDBPyConnection, where: str, file: Path, _scratch: Path) -> Relation:
    kind, sql = "a whole Parquet file", f"read_parquet({path_literal(file)})"
    try:
        described = con.execute(f"describe select * from {sql}").fetchall()
    except duckdb.Error as error:
        raise unreadable(where, kind, error) from error
    return Relation(where, kind, {row[0]: row[1] for row in described}, sql, list)


def _json(con: duckdb.DuckDBPyConnection, where: str, file: Path, scratch: Path) -> Relation:
    kind = "JSON lines or an array of objects"
    _, start = _surveyed(where, kind, file)
    source = _cleaned(file, scratch) if start.startswith(codecs.BOM_UTF8) else file
    is_array = start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    shape = "format = 'array'" if is_array else "format = 'newline_delimited', ignore_errors = true"
    objects = f"read_json_objects({path_literal(source)}, {shape})"
    try:
        keys = f"select case when json_type(json) = 'OBJECT' then json_keys(json) end as keys from {objects}"
        found = con.execute(f"select keys from ({keys}) group by keys").fetchall()
    except duckdb.Error as error:
        raise unreadable(where, kind, error) from error
    # DuckDB knows no column without a name
    columns = sorted({key for (keys,) in found for key in keys or () if key})
    if not columns:
        raise unreadable(where, kind, ValueError("it holds no object with a key"))
    _require_distinct(where, columns)
    values = ", ".join(
        f"json_extract_string(json, {literal(_pointer(name))}) as {identifier(name)}" for name in columns
    )
    is_whole = all(keys is not None for (keys,) in found)
    return Relation(
        where,
        kind,
        dict.fromkeys(columns, "VARCHAR"),
        f"(select {values} from {objects} where json_type(json) = 'OBJECT')",
        list if is_whole else lambda: _not_objects(con, objects, None if is_array else source),
    )


def _not_objects(con: duckdb.DuckDBPyConnection, objects: str, lines: Path | None) -> list[BrokenLine]:
    """The elements that are no objects. Of a line that is not JSON at all DuckDB keeps nothing, so it is read again."""
    found = con.execute(
        f"select element, cast(json as varchar) from (select row_number() over () as element, json from {objects}) "
        "where json_type(json) is distinct from 'OBJECT' order by element"
    ).fetchall()
    if lines is None:
        return [BrokenLine(element, text[:SHOWN_CHARACTERS], "not a JSON object") for element, text in found]
    broken = {element for element, _ in found}
    with _opened(lines) as stream:
        written = ((number, line) for number, line in enumerate(stream, start=1) if line.strip(b" \t\r\n"))
        return [
            BrokenLine(number, line[:SHOWN_CHARACTERS].decode(errors="replace").strip(), "not a JSON object")
            for element, (number, line) in enumerate(written, start=1)
            if element in broken
        ]


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _require_distinct(where: str, columns: list[str]) -> None:
    lowered = [name.lower() for name in columns]
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    if twice:
        raise SourceError(
            f"{where}: the column {', '.join(twice)} stands there twice; small and capital letters are the same. "
            "Nothing was read. Rename one."
        )


def _surveyed(where: str, kind: str, file: Path) -> tuple[set[str], bytes]:
    """Reads a text file once to its end, which checks the sum that gzip keeps: DuckDB does not.

    Returns:
        The kinds of line end in it, and its beginning.

    Raises:
        SourceError: it is compressed badly, or plainly something else.
    """
    ends: set[str] = set()
    start = b""
    try:
        with _opened(file) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                start = start or chunk
                # a line end may lie across two chunks
                chunk += stream.read(1) if chunk.endswith(b"\r") else b""
                both = chunk.count(b"\r\n")
                ends |= {"\r\n"} if both else set()
                ends |= {"\n"} if chunk.count(b"\n") > both else set()
                ends |= {"\r"} if chunk.count(b"\r") > both else set()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise unreadable(where, kind, error) from error
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise SourceError(f"{where}: the file is empty. Nothing was read. Deliver it again, or remove it.")
    other = next((what for mark, what in _NOT_TEXT.items() if text.startswith(mark)), None)
    if other:
        raise SourceError(f"{where}: it is {other}, not {kind}. Nothing was read. Deliver the file again.")
    return ends, start


def _cleaned(file: Path, scratch: Path) -> Path:
    """A copy without byte order mark and with one kind of line end."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with _opened(file) as source, scratch.open("wb") as target:
        for number, line in enumerate(source):
            text = line if number else line.removeprefix(codecs.BOM_UTF8)
            target.write(text.rstrip(b"\r\n").replace(b"\r", b" ") + b"\n")
    return scratch


def _opened(file: Path) -> io.BufferedIOBase:
    return gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb")


_READERS: dict[Format, Callable[[duckdb.DuckDBPyConnection, str, Path, Path], Relation]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
