"""Forgetting accounts: all that was landed, computed and published of them is erased, and what is landed later leaves them out.

First the list of those forgotten is written, so that from then on nothing comes back. What was landed goes last: where the
command is killed, it finds there what is left to do when it is given again.
"""

import mmap
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import duckdb
import polars as pl

from config.errors import ConfigurationError, SourceError
from config.settings import Business
from config.sources import Source
from config.tables import PUBLISHED
from flows import postgres_warehouse, publishing
from flows.backfill import COPY
from flows.batches import Batch, batches, current, verify, write_manifest
from flows.compare import ASIDE
from flows.disk import sha256_of, sync
from flows.duck import connect, identifier, literal, parquet, trying
from flows.forgotten import forgotten, values_of, write_list
from flows.landing import as_text, resolved
from flows.ledger import ROLES
from flows.machine import memory_limit
from flows.runs import state_held
from flows.stages import RUNS
from flows.state import FILE
from flows.values import ROW_KEY, text
from flows.warehouse import exists, opened

FOUND = {"account_id": pl.String, "source": pl.String, "batch": pl.String, "position": pl.Int64}
COMPUTED = (RUNS, COPY.parts[0], ASIDE)
"""The directories below `state` with what runs made, or left when they were killed."""


@dataclass(frozen=True)
class Erased:
    """What was erased, and where something that reads like an account still stands.

    Attributes:
        accounts: those forgotten, with those merged into them.
        landed_rows: rows and broken lines taken out of what was landed.
        batches: landed batches that had any.
        warehouse_rows: rows taken out of the warehouse.
        left: sentences on values that are their keys, in rows of others or in files' bytes; empty where there is none.
        decisions: how many entries of the decisions file name them.
    """

    accounts: tuple[str, ...]
    landed_rows: int
    batches: int
    warehouse_rows: int
    left: tuple[str, ...]
    decisions: int


def forget(business: Business, asked: Sequence[str], dry_run: bool = False, wait_seconds: float = 0) -> Erased:
    """Erases all that Rapport has of accounts, and of those merged into them, and lets nothing of them in again.

    Args:
        business: the business.
        asked: the accounts.
        dry_run: only say what would be erased.
        wait_seconds: how long to wait for a run.

    Raises:
        ConfigurationError: there is no such account, it was merged into another one, or has a verdict set by hand.
        SourceError: what was landed is damaged, or its account cannot be read by the mapping.
        WarehouseError: the warehouse failed; its readers see all or nothing of the account.
        Busy: a run is at work.
    """
    accounts = _with_merged(business, asked)
    started_at = datetime.now(UTC)
    run_id, landed = f"{started_at:%Y%m%dT%H%M%S}-forget", business.state / "landed"
    with state_held(business, run_id, started_at, wait_seconds), connect(business) as con, trying(con):
        path = postgres_warehouse.up_to_date(business)
        listed = forgotten(business.state)
        known = _landed(landed)
        verify(landed, known)
        found = _found(con, business, landed, known, accounts)
        published = publishing.rows_found(path, accounts, found) if exists(path) else 0
        _refuse_unknown(path, asked, found, [each for each in accounts if listed.day_of(each)])
        if not dry_run:
            write_list(listed.with_more(accounts, started_at.date()), business.state)
            if exists(path):
                publishing.erase(path, accounts, found, run_id, started_at, wait_seconds, memory_limit(business))
            postgres_warehouse.erase(business, accounts, found, wait_seconds)
            if found.height or published:
                _take_away_computed(business.state)
            for batch in known:
                _erase_from(con, batch, landed, found)
        left = [] if dry_run else [*_left_in_landed(con, landed, accounts), *_left_in_files(business, path, accounts)]
        left += _left_in_warehouse(path, accounts) if exists(path) and not dry_run else []
    return Erased(
        accounts=tuple(accounts),
        landed_rows=found.height,
        batches=found["batch"].n_unique(),
        warehouse_rows=published,
        left=tuple(left),
        decisions=sum(bool({each.account_id, each.into} & set(accounts)) for each in business.decided.merges),
    )


def let_in(business: Business, asked: Sequence[str], wait_seconds: float = 0) -> None:
    """Takes accounts off the list of those forgotten: what is landed from now on has their rows again.

    Raises:
        ConfigurationError: one of them is not on it.
        Busy: a run is at work.
    """
    started_at = datetime.now(UTC)
    with state_held(business, f"{started_at:%Y%m%dT%H%M%S}-forget", started_at, wait_seconds):
        listed = forgotten(business.state)
        never = [account for account in asked if not listed.day_of(account)]
        if never:
            raise ConfigurationError(f"account {never[0]!r} was not forgotten. Nothing was changed. Is it spelt right?")
        write_list(listed.without(asked), business.state)


def _with_merged(business: Business, asked: Sequence[str]) -> list[str]:
    """The accounts and those merged into them.

    Raises:
        ConfigurationError: one was merged into another, or has a verdict set by hand.
    """
    decided = business.decided
    into = next((each for each in decided.merges if each.account_id in asked and each.into not in asked), None)
    if into:
        raise ConfigurationError(
            f"account {into.account_id!r} counts as {into.into!r}, by a merge in {business.decisions}. Nothing was erased. "
            "Forget that one, which takes this one along; or take the merge away, if they are two."
        )
    accounts = list(dict.fromkeys([*asked, *(each.account_id for each in decided.merges if each.into in asked)]))
    overridden = [each.account_id for each in decided.overrides if each.account_id in accounts]
    if overridden:
        raise ConfigurationError(
            f"{business.decisions}: {len(overridden):,} verdicts set by hand are for account {overridden[0]!r}. Nothing was erased. "
            "Take them away first: every run would stop at an override for an account that there is not."
        )
    return accounts


def _landed(landed: Path) -> list[Batch]:
    """All batches ever landed, those of sources that the business file no longer has too."""
    return [batch for folder in sorted(landed.glob("*/")) for batch in batches(landed, folder.name)]


def _found(
    con: duckdb.DuckDBPyConnection, business: Business, landed: Path, known: Sequence[Batch], accounts: Sequence[str]
) -> pl.DataFrame:
    """Which rows and broken lines are theirs."""
    counted = set(current(known))
    listed = ", ".join(map(literal, accounts))
    found = [pl.DataFrame(schema=FOUND)]
    for batch in known:
        file = parquet(batch.path(landed), more=", file_row_number = true")
        owner = _owner(con, business, batch, file, listed, is_needed=batch in counted)
        found.append(
            con.sql(
                f"select {owner} as account_id, {literal(batch.source)} as source, {literal(batch.batch)} as batch, "
                f"file_row_number as position from {file} where {owner} in ({listed})"
            ).pl()
        )
        named = [
            (account, batch.source, batch.batch, batch.rows + number)
            for number, line in enumerate(_broken(batch, landed)["text"])
            for account in accounts
            if account in values_of(line)
        ]
        found.append(pl.DataFrame(named, schema=FOUND, orient="row").unique(["batch", "position"]))
    return pl.concat(found)


def _owner(
    con: duckdb.DuckDBPyConnection, business: Business, batch: Batch, file: str, listed: str, is_needed: bool
) -> str:
    """SQL of the account of a landed row.

    Of a batch that no longer counts and that the mapping no longer reads it is whichever value of the row is one of those listed.

    Raises:
        SourceError: the mapping does not read it, and it counts.
    """
    sources: dict[str, Source] = {each.name: each for role in ROLES for each in getattr(business.sources, role)}
    source = sources.get(batch.source)
    if source:
        try:
            mapping = resolved(
                {"account_id": source.columns["account_id"]}, batch.columns, batch.where, "Nothing was erased."
            )
            return as_text(con, batch.where, "a Parquet file", file, "account_id", mapping["account_id"])
        except SourceError:
            if is_needed:
                raise
    values = (
        text(identifier(name), kind) for name, kind in zip(batch.columns, batch.types, strict=True) if name != ROW_KEY
    )
    return f"coalesce({', '.join(f'case when {value} in ({listed}) then {value} end' for value in values)})"


def _broken(batch: Batch, landed: Path) -> pl.DataFrame:
    """The lines of a batch that could not be read."""
    if batch.broken_lines:
        return pl.read_parquet(batch.broken_path(landed))
    return pl.DataFrame(schema={"line": pl.Int64, "text": pl.String, "fault": pl.String})


def _refuse_unknown(path: Path, asked: Sequence[str], found: pl.DataFrame, listed: Sequence[str]) -> None:
    seen = {*found["account_id"], *listed}
    none = found.clear()
    unknown = [
        each for each in asked if each not in seen and not (exists(path) and publishing.rows_found(path, [each], none))
    ]
    if unknown:
        raise ConfigurationError(
            f"there is no account {unknown[0]!r}"
            + f", nor {len(unknown) - 1:,} others of those named" * (len(unknown) > 1)
            + f", neither among what was landed nor in {path}. Nothing was erased. Is it spelt right? Capital and small letters differ."
        )


def _take_away_computed(directory: Path) -> None:
    """Takes away what runs made, which the next one makes anew: the state, sealed packages, and what those left that were killed."""
    for name in COMPUTED:
        shutil.rmtree(directory / name, ignore_errors=True)
    for leftover in (*directory.glob(f"{FILE}*"), *directory.glob("landed/*/*.part")):
        leftover.unlink()
    sync(directory)


def _erase_from(con: duckdb.DuckDBPyConnection, batch: Batch, landed: Path, found: pl.DataFrame) -> None:
    """Lands a batch again without their rows, under another name, and takes the old one away.

    A batch and its manifest are two files: of two batches of one origin that a kill left side by side one counts.
    """
    theirs = found.filter(source=batch.source, batch=batch.batch).select("position")
    if theirs.is_empty():
        return
    rest, rest_broken = batch.path(landed).with_suffix(".part"), batch.broken_path(landed).with_suffix(".broken.part")
    listed = ", ".join(map(identifier, batch.columns))
    con.register("theirs", theirs)
    con.execute(
        f"copy (select {listed} from {parquet(batch.path(landed), more=', file_row_number = true')} "
        f"where file_row_number not in (select position from theirs)) "
        f"to {literal(str(rest))} (format parquet, compression zstd)"
    )
    con.unregister("theirs")
    lines = _broken(batch, landed).with_row_index("position", batch.rows).cast({"position": pl.Int64})
    kept = lines.join(theirs, on="position", how="anti").drop("position")
    if kept.height:
        kept.write_parquet(rest_broken)
    sums = [sha256_of(rest), sha256_of(rest_broken) if kept.height else ""]
    left = replace(
        batch,
        batch=sha256("\0".join([batch.batch, *sums]).encode()).hexdigest()[:16],
        rows=batch.rows - theirs.filter(pl.col("position") < batch.rows).height,
        broken_lines=kept.height,
        sha256=sums[0],
        broken_sha256=sums[1],
    )
    for part, whole in ((rest, left.path(landed)), (rest_broken, left.broken_path(landed)))[: 1 + bool(kept.height)]:
        sync(part)
        part.replace(whole)
    write_manifest(left, _manifest(left, landed))
    for old in (_manifest(batch, landed), batch.path(landed), batch.broken_path(landed)):
        old.unlink(missing_ok=True)
    sync(landed / batch.source)


def _manifest(batch: Batch, landed: Path) -> Path:
    return batch.path(landed).with_suffix(".json")


def _left_in_landed(con: duckdb.DuckDBPyConnection, landed: Path, accounts: Sequence[str]) -> Iterator[str]:
    """Values that are one of them, in any column of what is landed."""
    listed = ", ".join(map(literal, accounts))
    for batch in _landed(landed):
        counts = ", ".join(
            f"count_if({text(identifier(name), kind)} in ({listed}))"
            for name, kind in zip(batch.columns, batch.types, strict=True)
        )
        [found] = con.execute(f"select {counts} from {parquet(batch.path(landed))}").fetchall()
        told = zip(batch.columns, found, strict=True)
        yield from (f"{batch.where}: {count:,} rows of others have it as {name}" for name, count in told if count)
        count = sum(any(account in line for account in accounts) for line in _broken(batch, landed)["text"])
        if count:
            yield f"{batch.where}: {count:,} lines that could not be read have its characters"


def _left_in_warehouse(path: Path, accounts: Sequence[str]) -> Iterator[str]:
    """Words that are one of them, in any text of the warehouse."""
    word = rf"(^|\W)({'|'.join(map(re.escape, accounts))})(\W|$)"
    with opened(path) as con:
        for name, columns in PUBLISHED.items():
            texts = [column.name for column in columns if column.type == "VARCHAR"]
            counts = ", ".join(f"count_if(regexp_matches({identifier(each)}, $word))" for each in texts)
            [found] = con.execute(f"select {counts} from {publishing.table(name)}", {"word": word}).fetchall()
            told = zip(texts, found, strict=True)
            yield from (f"{path}, {name}: {count:,} rows have it in {each}" for each, count in told if count)


def _left_in_files(business: Business, path: Path, accounts: Sequence[str]) -> Iterator[str]:
    """The bytes of one of them, in any file below the state or beside the warehouse."""
    for file in sorted({*business.state.rglob("*"), *path.parent.glob(f"{path.name}*")}):
        if file.is_file() and file.stat().st_size:
            with file.open("rb") as read, mmap.mmap(read.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if any(content.find(account.encode()) >= 0 for account in accounts):
                    yield f"{file}: its characters are in it, perhaps in other values"
