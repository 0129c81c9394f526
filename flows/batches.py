"""Landed batches: what each holds, which of them count, and whether they are still what was landed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from config.errors import SourceError
from flows.disk import sha256_of


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
        account: the expression of a row's account; None of a batch that was landed before that was kept.
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
    account: str | None = None

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

    def manifest_path(self, landed: Path) -> Path:
        """What is known of the batch."""
        return landed / self.source / f"{self.batch}.json"

    def is_as_landed(self, landed: Path) -> bool:
        """Whether its files are what was landed: of a flipped bit Parquet makes wrong data, and no error."""
        sums = ((self.path(landed), self.sha256), (self.broken_path(landed), self.broken_sha256))
        return all(not sha256 or (path.is_file() and sha256_of(path) == sha256) for path, sha256 in sums)


_MANIFEST = TypeAdapter(Batch)


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
    """Holds the landed files against their manifests.

    Raises:
        SourceError: a file is not what was landed, or gone.
    """
    damaged = [batch for batch in counted if not batch.is_as_landed(landed)]
    if damaged:
        first = damaged[0]
        raise SourceError(
            f"{first.where}: what was landed of it on {first.known_at:%Y-%m-%d} in {first.path(landed)} is damaged or "
            f"gone, as are {len(damaged):,} batches in all. Nothing was published. Run once with --rebuild, which lands "
            "every source again; bring back a file that is gone, or its batch from a backup."
        )


def write_manifest(batch: Batch, path: Path) -> None:
    """Writes the manifest of a batch, whole or not at all."""
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
