"""A run's result as a sealed package: Parquet files, one or more a published table, and a manifest of their checksums."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from config.errors import WarehouseError
from config.tables import KEYS, PUBLISHED, RUNS, Table
from flows.disk import sha256_of, sync
from flows.duck import identifier, literal, parquet

MANIFEST = "manifest.json"
PACKAGED = tuple(name for name in PUBLISHED if name not in ("runs", "account_segment_history"))
"""A package has one day's rows: the history is made of its changes, the ledger's row stands in the manifest."""

# columns in which two runs of the same result may differ: who ran, where a refused row landed
UNHASHED = frozenset({"run_id", "batch", "position"})


@dataclass(frozen=True)
class Package:
    """A sealed package.

    Attributes:
        directory: where it is.
        run: the row of the ledger without `published_at`, values as JSON gives them.
        rows: rows of each table.
    """

    directory: Path
    run: dict[str, str | int | float | None]
    rows: dict[str, int]

    @property
    def run_id(self) -> str:
        """The run that sealed it."""
        return str(self.run["run_id"])

    def relation(self, table: str) -> str:
        """A table's rows, as SQL to select from."""
        return parquet(*parts(self.directory, table))

    def size(self) -> int:
        """The bytes of its Parquet files."""
        return sum(path.stat().st_size for name in PACKAGED for path in parts(self.directory, name))


def part(table: str, number: int) -> str:
    """The name of one of a table's Parquet files, counted from 0."""
    return f"{table}.{number:04}.parquet" if number else f"{table}.parquet"


def parts(directory: Path, table: str) -> list[Path]:
    """A table's Parquet files in a directory, in their order."""
    return sorted(directory.glob(f"{table}.*parquet"), key=lambda path: (len(path.name), path.name))


def content_hash(con: duckdb.DuckDBPyConnection, tables: Mapping[str, str]) -> str:
    """A hash of the published rows that is the same whatever their order, the threads and the machine.

    It is made of the sums of DuckDB's hashes of each table's rows, in their published types. Columns in which
    two runs of the same result may differ are left out. Doubles count to the last bit. A later DuckDB may hash
    in another way.

    Args:
        con: an open connection, in UTC.
        tables: name of each packaged table, to the connection's table or view with its rows.

    Returns:
        64 hexadecimal digits.
    """
    return _content_hash(con, {name: _typed(name, identifier(relation)) for name, relation in tables.items()})


def seal(
    con: duckdb.DuckDBPyConnection,
    directory: Path,
    run: Mapping[str, object],
    tables: Mapping[str, str | Sequence[Path]],
) -> Package:
    """Writes a package, whole or not at all.

    Args:
        con: an open connection, in UTC.
        directory: the package's directory; one of an earlier attempt is replaced.
        run: the row of the ledger; `content_hash` and `published_at` are not read from it.
        tables: name of each packaged table, to the connection's table or view with its rows, or to the Parquet files
            that hold them in their published types; those are copied.

    Returns:
        The package, its `run` with the `content_hash`.

    Raises:
        WarehouseError: the rows of a table do not have keys of their own.
    """
    unsealed = _unsealed(directory)
    for name, source in tables.items():
        if isinstance(source, str):
            target = literal(str(unsealed / part(name, 0)))
            con.execute(f"copy {_typed(name, identifier(source))} to {target} (format parquet, compression zstd)")
        else:
            for number, file in enumerate(source):
                shutil.copyfile(file, unsealed / part(name, number))
    relations = {name: parquet(*parts(unsealed, name)) for name in PACKAGED}
    for name, rows in relations.items():
        _refuse_shared_keys(con, name, rows)
    ledger = {column.name: run[column.name] for column in RUNS if column.name not in ("content_hash", "published_at")}
    ledger["content_hash"] = _content_hash(con, relations)
    sealed = {
        path.name: {"sha256": sha256_of(path), "rows": _count(con, path)}
        for name in PACKAGED
        for path in parts(unsealed, name)
    }
    return _put_in_place(unsealed, directory, ledger, sealed)


def resealed(con: duckdb.DuckDBPyConnection, package_dir: Path, directory: Path, run: Mapping[str, object]) -> Package:
    """Copies a package as that of another run, whole or not at all.

    Args:
        con: any open connection.
        package_dir: the sealed package; its rows stay as they are.
        directory: the copy's directory.
        run: what is otherwise in the ledger's row.

    Raises:
        WarehouseError: the package is not what was sealed.
    """
    package = verified(con, package_dir)
    unsealed = _unsealed(directory)
    sealed = json.loads((package_dir / MANIFEST).read_bytes())["files"]
    for file in sealed:
        shutil.copyfile(package_dir / file, unsealed / file)
    return _put_in_place(unsealed, directory, {**package.run, **run}, sealed)


def _unsealed(directory: Path) -> Path:
    """The empty directory in which a package is made."""
    unsealed = directory.with_name(f"{directory.name}.sealing")
    shutil.rmtree(unsealed, ignore_errors=True)
    unsealed.mkdir(parents=True)
    return unsealed


def _put_in_place(
    unsealed: Path, directory: Path, run: Mapping[str, object], sealed: Mapping[str, Mapping[str, Any]]
) -> Package:
    """Writes the manifest of a package, and gives it its name once all of it is on the disk."""
    body = json.loads(json.dumps({"run": run, "files": sealed}, default=_as_json))
    manifest = json.dumps(body | {"sha256": _seal_of(body)}, indent=1)
    (unsealed / MANIFEST).write_text(manifest, encoding="utf-8")
    for path in (*unsealed.iterdir(), unsealed):
        sync(path)
    if directory.exists():
        shutil.rmtree(directory)
    unsealed.rename(directory)
    sync(directory.parent)
    return Package(directory, body["run"], _rows(sealed))


def verified(con: duckdb.DuckDBPyConnection, directory: Path) -> Package:
    """Reads a package and holds it to its manifest and to the columns of this version.

    Args:
        con: any open connection.
        directory: the package's directory.

    Raises:
        WarehouseError: a file is missing or is not what was sealed.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise _refusal(directory, f"{MANIFEST} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or manifest.pop("sha256", None) != _seal_of(manifest):
        raise _refusal(directory, f"{MANIFEST} is not what was sealed")
    sealed = manifest["files"]
    for name in PACKAGED:
        if part(name, 0) not in sealed:
            raise _refusal(directory, f"it has no {name}, another version of Rapport made it")
        for path in parts(directory, name):
            if path.name not in sealed:
                raise _refusal(directory, f"{path.name} is not what was sealed, {MANIFEST} does not name it")
        for file in _files(sealed, name):
            _refuse_file(con, directory / file, PUBLISHED[name], **sealed[file])
    return Package(directory, manifest["run"], _rows(sealed))


def _files(sealed: Iterable[str], name: str) -> list[str]:
    return [file for file in sealed if file.startswith(f"{name}.")]


def _rows(sealed: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The rows of each table, from those of its files."""
    return {name: sum(sealed[file]["rows"] for file in _files(sealed, name)) for name in PACKAGED}


def _refuse_file(con: duckdb.DuckDBPyConnection, path: Path, table: Table, sha256: str, rows: int) -> None:
    if not path.exists():
        raise _refusal(path.parent, f"{path.name} is missing")
    if sha256_of(path) != sha256:
        raise _refusal(path.parent, f"{path.name} is not what was sealed, its sha256 is another")
    found = con.execute(f"describe select * from {parquet(path)}").fetchall()
    if [(name, type_) for name, type_, *_ in found] != [(column.name, column.type) for column in table]:
        raise _refusal(path.parent, f"{path.name} has other columns than this version of Rapport publishes")
    count = _count(con, path)
    if count != rows:
        raise _refusal(path.parent, f"{path.name} has {count:,} rows, {MANIFEST} says {rows:,}")


def _typed(name: str, relation: str) -> str:
    """A relation's rows with the published columns and types, as SQL to select from."""
    columns = ", ".join(
        f"cast({identifier(column.name)} as {column.type}) as {identifier(column.name)}" for column in PUBLISHED[name]
    )
    return f"(select {columns} from {relation})"


def _content_hash(con: duckdb.DuckDBPyConnection, relations: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in PACKAGED:
        hashed = [column.name for column in PUBLISHED[name] if column.name not in UNHASHED]
        rows_hash = f"select sum(hash({', '.join(map(identifier, hashed))})) from {relations[name]}"
        digest.update(json.dumps([name, hashed, str(con.execute(rows_hash).fetchall()[0][0])]).encode())
    return digest.hexdigest()


def _refuse_shared_keys(con: duckdb.DuckDBPyConnection, name: str, relation: str) -> None:
    key = ", ".join(map(identifier, KEYS[name]))
    shared = con.execute(
        f"select {key}, count(*) over () from {relation} group by {key} having count(*) > 1 order by {key} limit 1"
    ).fetchall()
    if shared:
        *first, count = shared[0]
        raise WarehouseError(
            f"{name}: {count:,} keys ({', '.join(KEYS[name])}) have more than one row, first"
            f" {tuple(map(str, first))}. Nothing was published. It is a mistake of Rapport: please report it."
        )


def _refusal(directory: Path, fault: str) -> WarehouseError:
    return WarehouseError(f"package {directory}: {fault}. Nothing was published. Repeat the run that made it.")


def _count(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    return con.execute(f"select count(*) from {parquet(path)}").fetchall()[0][0]


def _seal_of(body: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _as_json(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a manifest")
