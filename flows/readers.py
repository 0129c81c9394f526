"""How DuckDB reads one file of a source: as a relation with its columns, and the lines of it that cannot be read.

CSV and JSON values arrive as text, so that no value is lost or changed by guessing its type; Parquet keeps its types.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from config.errors import SourceError
from config.sources import Format
from flows.duck import identifier, literal, parquet, path_literal, short_of_memory

DELIMITERS = ",;\t|"
CHUNK_BYTES = 4 * 1024**2
SHOWN = 30
SHOWN_CHARACTERS = 10_000
MOST_PASSES = 10
HEADER_MISSING = "The names of its columns look like the values of a row: is the header missing?"

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
        columns: its columns with their DuckDB types; none of a JSON array without elements, which has no rows.
        sql: a relation to select from; empty where there are no columns.
        broken: after `sql` was read, gives the lines that could not be.
        content: SQL of all that a row says; that of `columns` where None.
    """

    where: str
    kind: str
    columns: dict[str, str]
    sql: str
    broken: Callable[[], list[BrokenLine]]
    content: str | None = None


class _Survey(NamedTuple):
    """A text file at a glance: the kinds of line end in it, whether it has double quotes, its beginning, its last character."""

    line_ends: set[str]
    has_quotes: bool
    start: bytes
    last: bytes


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
    """The error for a file that is not what it should be, or that there is no memory for."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return short_of_memory(where, error)
    return SourceError(f"{where}: it is not {kind} ({fault(error)}). Nothing was read. Deliver the file again.")


def not_landed(where: str, folder: Path, error: Exception) -> SourceError:
    """The error for what cannot be written where it should be landed."""
    return SourceError(
        f"{where}: it cannot be landed in {folder} ({str(error).splitlines()[0]}). Nothing was published. "
        "Make room there, or give `state` another place."
    )


def columns_told(columns: Sequence[str]) -> str:
    """What columns a file has; not if they look like the values of a row, which may be personal."""
    if look_like_values(columns):
        return HEADER_MISSING
    more = f" and {len(columns) - SHOWN:,} more" if len(columns) > SHOWN else ""
    return f"Its columns are {', '.join(name[:SHOWN] for name in columns[:SHOWN])}{more}."


def look_like_values(columns: Iterable[str]) -> bool:
    """Whether the names of columns are rather the values of a row: an address, a number, a time or an amount of money."""
    return any(re.search(r"@|^[^A-Za-z]*\d[^A-SU-Ya-z]*$", name) for name in columns)


def fault(error: Exception) -> str:
    """What an error says, in one line and without values: DuckDB puts those in single quotes, or calls them so.

    A value of several lines has its second quote on another one.
    """
    value = r"(?<!\w)'(.*'|.*$)|(?:(?<=value )|(?<=string ))\"(.*\"|.*$)"
    return re.sub(value, "'...'", str(error).splitlines()[0]).strip().rstrip(".")


def _csv(con: duckdb.DuckDBPyConnection, where: str, file: Path, scratch: Path) -> Relation:
    kind = "a CSV file in UTF-8"
    survey = _surveyed(where, kind, file)
    delimiter, header = _header(where, kind, survey.start.decode("utf-8-sig", errors="replace"))
    columns = [name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)]
    require_distinct(where, columns)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    options = (
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', store_rejects = true, rejects_limit = 0, "
        "hive_partitioning = false"
    )

    def read(source: Path) -> str:
        return f"read_csv({path_literal(source)}, columns = {{{types}}}, auto_detect = false, header = true, {options})"

    source, taken_out = _mended(con, file, survey, read, scratch)
    return Relation(
        where,
        kind,
        dict.fromkeys(columns, "VARCHAR"),
        read(source),
        lambda: sorted([*taken_out, *_rejected(con, where, source, survey, taken_out)]),
    )


def _mended(
    con: duckdb.DuckDBPyConnection, file: Path, survey: _Survey, read: Callable[[Path], str], scratch: Path
) -> tuple[Path, list[BrokenLine]]:
    """A CSV file that DuckDB gets through: where need be a copy, with one kind of line end and without open quotes.

    A quote that is never closed takes every line up to the next quote with it, so the line that opens it is taken out.

    Returns:
        The file or its copy, and the lines taken out.
    """
    source: Path = file
    taken_out: list[BrokenLine] = []
    is_mixed = len(survey.line_ends) > 1
    for _ in range(MOST_PASSES if is_mixed or survey.has_quotes else 0):
        forget_rejects(con)
        try:
            con.execute(f"select count(*) from {read(source)}").fetchall()
            refused = _refused(con, source, survey, taken_out)
            is_read = not refused
        except duckdb.Error:
            refused, is_read = [], False
        if is_mixed and source == file:
            # what is refused may be due to the line ends
            if is_read:
                break
        elif opening := [line for line, opens in refused if opens]:
            taken_out += opening
        else:
            break
        source = _cleaned(file, scratch, {line.line for line in taken_out})
    return source, taken_out


def _refused(
    con: duckdb.DuckDBPyConnection, source: Path, survey: _Survey, taken_out: list[BrokenLine]
) -> list[tuple[BrokenLine, bool]]:
    """The lines that the CSV reader refused, and whether a quote that is never closed took the lines behind with it."""
    found = con.execute(
        "select line_byte_position, coalesce(any_value(csv_line), ''), min(error_message), "
        "bool_or(error_type in ('UNQUOTED VALUE', 'LINE SIZE OVER MAXIMUM')) "
        "from reject_errors group by line_byte_position order by line_byte_position"
    ).fetchall()
    line_end = b"\r" if survey.line_ends == {"\r"} else b"\n"
    # of Windows' line ends the second half may count as the line's beginning
    starts = [position - 1 + len(text) - len(text.lstrip("\r\n")) for position, text, _, _ in found]
    numbers = _line_numbers(source, starts, line_end, sorted(line.line for line in taken_out))
    lines = []
    for number, (_, text, why, is_about_quotes) in zip(numbers, found, strict=True):
        first, *more = re.split(r"[\r\n]+", text.strip("\r\n"))
        opens = is_about_quotes and bool(more)
        lines.append((BrokenLine(number, first if opens else text.strip("\r\n"), why.rstrip(".")), opens))
    return lines


def _line_numbers(file: Path, starts: list[int], line_end: bytes, taken_out: list[int]) -> list[int]:
    """The numbers that lines which start at these places, ascending, had before others were taken out."""
    numbers, at, number = [], 0, 1
    with _opened(file) as stream:
        for start in starts:
            while at < start:
                chunk = stream.read(min(CHUNK_BYTES, start - at))
                at, number = at + len(chunk), number + chunk.count(line_end)
            before = number
            for other in taken_out:
                before += other <= before
            numbers.append(before)
    return numbers


def _rejected(
    con: duckdb.DuckDBPyConnection, where: str, source: Path, survey: _Survey, taken_out: list[BrokenLine]
) -> list[BrokenLine]:
    """The lines that the CSV reader refused.

    Raises:
        SourceError: one still took others with it.
    """
    refused = _refused(con, source, survey, taken_out)
    opening = next((line for line, opens in refused if opens), None)
    if opening:
        raise SourceError(
            f"{where}: line {opening.line} opens a quote that is never closed, as {len(taken_out):,} lines do, and what is "
            "behind it cannot be told apart. Nothing was read. Deliver the file again, with quotes in values doubled."
        )
    return [line for line, _ in refused]


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


def _parquet(con: duckdb.DuckDBPyConnection, where: str, file: Path, _scratch: Path) -> Relation:
    kind, sql = "a whole Parquet file", parquet(file)
    try:
        described = con.execute(f"describe select * from {sql}").fetchall()
    except duckdb.Error as error:
        raise unreadable(where, kind, error) from error
    return Relation(where, kind, {row[0]: row[1] for row in described}, sql, list)


def _json(con: duckdb.DuckDBPyConnection, where: str, file: Path, scratch: Path) -> Relation:
    kind = "JSON lines or an array of objects"
    survey = _surveyed(where, kind, file)
    source = _cleaned(file, scratch, ()) if survey.start.startswith(codecs.BOM_UTF8) else file
    is_array = survey.start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    if is_array and survey.last != b"]":
        # DuckDB takes what is cut off behind a comma for all there is
        raise unreadable(where, kind, ValueError("it ends before its array does"))
    shape = "format = 'array'" if is_array else "format = 'newline_delimited', ignore_errors = true"
    objects = f"read_json_objects({path_literal(source)}, {shape})"
    try:
        keys = f"select case when json_type(json) = 'OBJECT' then json_keys(json) end as keys from {objects}"
        found = con.execute(f"select keys from ({keys}) group by keys").fetchall()
    except duckdb.Error as error:
        raise unreadable(where, kind, error) from error
    if is_array and not found:
        return Relation(where, kind, {}, "", list)
    # DuckDB knows no column without a name
    columns = sorted({key for (keys,) in found for key in keys or () if key})
    if not columns:
        raise unreadable(where, kind, ValueError("it holds no object with a key"))
    require_distinct(where, columns)
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


def require_distinct(where: str, columns: list[str]) -> None:
    """Refuses columns that DuckDB cannot tell apart.

    Raises:
        SourceError: two have the same name but for small and capital letters.
    """
    lowered = [name.lower() for name in columns]
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    if twice and look_like_values(columns):
        raise SourceError(f"{where}: two columns have the same name. {HEADER_MISSING} Nothing was read.")
    if twice:
        raise SourceError(
            f"{where}: the column {', '.join(twice)} stands there twice; small and capital letters are the same. "
            "Nothing was read. Rename one."
        )


def _surveyed(where: str, kind: str, file: Path) -> _Survey:
    """Reads a text file once to its end, which checks the sum that gzip keeps: DuckDB does not.

    Raises:
        SourceError: it may not be read, is compressed badly, or plainly something else.
    """
    line_ends: set[str] = set()
    has_quotes, start, last = False, b"", b""
    try:
        with _opened(file) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                start = start or chunk
                # a line end may lie across two chunks
                chunk += stream.read(1) if chunk.endswith(b"\r") else b""
                has_quotes = has_quotes or b'"' in chunk
                last = chunk.rstrip()[-1:] or last
                both = chunk.count(b"\r\n")
                line_ends |= {"\r\n"} if both else set()
                line_ends |= {"\n"} if chunk.count(b"\n") > both else set()
                line_ends |= {"\r"} if chunk.count(b"\r") > both else set()
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(where, kind, error) from error
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise SourceError(f"{where}: the file is empty. Nothing was read. Deliver it again, or remove it.")
    other = next((what for mark, what in _NOT_TEXT.items() if text.startswith(mark)), None)
    if other:
        raise SourceError(f"{where}: it is {other}, not {kind}. Nothing was read. Deliver the file again.")
    return _Survey(line_ends, has_quotes, start, last)


def _cleaned(file: Path, scratch: Path, without: Container[int]) -> Path:
    """A copy without byte order mark, with one kind of line end, and without the lines of these numbers."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with _opened(file) as source, scratch.open("wb") as target:
        for number, line in enumerate(source, start=1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if number not in without:
                target.write(text.rstrip(b"\r\n").replace(b"\r", b" ") + b"\n")
    return scratch


def _opened(file: Path) -> io.BufferedIOBase:
    return gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb")


_READERS: dict[Format, Callable[[duckdb.DuckDBPyConnection, str, Path, Path], Relation]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
