"""Forgetting accounts: all that was landed, computed and published of them is erased, and what is landed later leaves them out.

First the list of those forgotten is written, so that nothing of them is landed again, and it says that not all was erased yet: no
run begins until it is. What was landed goes last: where the command is killed, it finds there what is left to do when it is
given again.
"""

import json
import mmap
import re
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import duckdb
import polars as pl

from config.errors import ConfigurationError, RapportError, SourceError
from config.expressions import plain_column
from config.settings import Business
from config.sources import Source
from config.tables import PUBLISHED
from flows import postgres_warehouse, publishing
from flows.backfill import COPY
from flows.batches import Batch, batches, current, verify, write_manifest
from flows.compare import ASIDE
from flows.disk import sha256_of, sync
from flows.duck import connect, identifier, literal, parquet, trying
from flows.forgotten import WITHHELD, forgotten, require_finished, values_of, write_list
from flows.landing import account_of, as_text
from flows.ledger import ROLES
from flows.machine import memory_limit
from flows.publishing import rows_found
from flows.runs import new_run, state_held
from flows.stages import RUNS, Run
from flows.state import FILE
from flows.values import text
from flows.warehouse import exists, faults_explained, opened, wals
from transforms.decided import merges_in_force

FOUND = {"account_id": pl.String, "source": pl.String, "batch": pl.String, "position": pl.Int64}
LANDED = re.compile(r".*\.part|[0-9a-f]{16}(-\d+)?\.(parquet|broken|json)")
"""What the files of landing are called."""
COMPUTED = (RUNS, COPY.parts[0], ASIDE)
"""The directories below `state` with what runs made, or left when they were killed."""


@dataclass(frozen=True)
class Erased:
    """What was erased, and where something that reads like an account still stands.

    Attributes:
        accounts: those forgotten, with those merged into them.
        landed_rows: rows taken out of what was landed.
        lines: lines that could not be read of which the text was taken out.
        batches: landed batches that had any of either.
        warehouse_rows: rows taken out of the warehouse.
        left: sentences on values that are their keys, in rows of others or in files' bytes; empty where there is none.
        decisions: how many merges of the decisions file name them.
    """

    accounts: tuple[str, ...]
    landed_rows: int
    lines: int
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
        SourceError: what was landed is damaged, or its account cannot be read, or the disk failed.
        WarehouseError: the warehouse failed; its readers see all or nothing of the account.
        Busy: a run is at work.
    """
    run = new_run(business)
    accounts = _with_merged(business, asked, run.as_of)
    with (
        state_held(business, run.run_id, run.started_at, wait_seconds),
        _faults_explained(business),
        connect(business) as con,
        trying(con),
    ):
        path = postgres_warehouse.up_to_date(business)
        listed, known = forgotten(business.state), _landed(run.landed)
        whole = _readable(known, run.landed)
        rows, lines = _found(con, run, whole, accounts), _lines_found(run.landed, whole, accounts)
        published = rows_found(path, accounts) if exists(path) else 0
        named = {*rows["account_id"], *lines["account_id"], *(each for each in accounts if listed.day_of(each))}
        _refuse_unknown(path, [each for each in asked if each not in named])
        is_due = rows.height or lines.height or published or not all(map(listed.is_finished, accounts))
        if is_due and not dry_run:
            _erase(con, run, path, accounts, known, rows, lines, wait_seconds)
        left = [] if dry_run else [*_left(con, run, path, accounts)]
    return Erased(
        accounts=tuple(accounts),
        landed_rows=rows.height,
        lines=lines.height,
        batches=len({*_batches_of(rows), *_batches_of(lines)}),
        warehouse_rows=published,
        left=tuple(left),
        decisions=sum(bool({each.account_id, each.into} & {*accounts}) for each in business.decided.merges),
    )


def let_in(business: Business, asked: Sequence[str], wait_seconds: float = 0) -> None:
    """Takes accounts, with those merged into them, off the list of those forgotten: what is landed from now on has their rows again.

    Raises:
        ConfigurationError: one of them is not on it.
        SourceError: not all was erased of one that is to be forgotten.
        Busy: a run is at work.
    """
    run = new_run(business)
    with state_held(business, run.run_id, run.started_at, wait_seconds):
        require_finished(business.state)
        listed = forgotten(business.state)
        never = [account for account in asked if not listed.day_of(account)]
        if never:
            raise ConfigurationError(f"account {never[0]!r} was not forgotten. Nothing was changed. Is it spelt right?")
        write_list(listed.without([*asked, *_merged(business, asked, run.as_of)]), business.state)


@contextmanager
def _faults_explained(business: Business) -> Generator[None]:
    """Tells faults of the disk with the place."""
    try:
        yield
    except (duckdb.IOException, OSError) as error:
        raise SourceError(
            f"state {business.state}: what lies there cannot be read or changed ({str(error).splitlines()[0]}). Not all was erased. "
            "Put that right, and give the command again."
        ) from error


def _merged(business: Business, asked: Sequence[str], as_of: date) -> list[str]:
    """The accounts that count for those asked for on a day."""
    return [each.account_id for each in merges_in_force(business.decided, as_of) if each.into in asked]


def _with_merged(business: Business, asked: Sequence[str], as_of: date) -> list[str]:
    """The accounts and those merged into them.

    Raises:
        ConfigurationError: one is none, was merged into another, or has a verdict set by hand.
    """
    if not all(account.strip() for account in asked):
        raise ConfigurationError("an account has to be named. Nothing was erased.")
    merges = merges_in_force(business.decided, as_of)
    into = next((each for each in merges if each.account_id in asked and each.into not in asked), None)
    if into:
        raise ConfigurationError(
            f"account {into.account_id!r} counts as {into.into!r}, by a merge in {business.decisions}. Nothing was erased. "
            "Forget that one, which takes this one along; or take the merge away, if they are two."
        )
    accounts = list(dict.fromkeys([*asked, *_merged(business, asked, as_of)]))
    overrides = business.decided.overrides
    set_by_hand = [each.account_id for each in overrides if each.account_id in accounts and each.last_day >= as_of]
    if set_by_hand:
        raise ConfigurationError(
            f"{business.decisions}: {len(set_by_hand):,} verdicts set by hand are for account {set_by_hand[0]!r}. Nothing was erased. "
            "Take them away first: runs stop at an override in force for an account that there is not."
        )
    return accounts


def _landed(landed: Path) -> list[Batch]:
    """All batches ever landed, those of sources that the business file no longer has too."""
    return [batch for folder in sorted(landed.glob("*/")) for batch in batches(landed, folder.name)]


def _readable(known: Sequence[Batch], landed: Path) -> list[Batch]:
    """The batches without those that are damaged and count no more.

    Raises:
        SourceError: one that counts is damaged.
    """
    counted = current(known)
    verify(landed, counted)
    return [batch for batch in known if batch in set(counted) or batch.is_as_landed(landed)]


def _found(con: duckdb.DuckDBPyConnection, run: Run, known: Sequence[Batch], accounts: Sequence[str]) -> pl.DataFrame:
    """Which rows are theirs."""
    listed = ", ".join(map(literal, accounts))
    found = [pl.DataFrame(schema=FOUND)]
    for batch in known:
        file = parquet(batch.path(run.landed), more=", file_row_number = true")
        owner = _owner(con, run, batch, file, listed)
        found.append(
            con.sql(
                f"select {owner} as account_id, {literal(batch.source)} as source, {literal(batch.batch)} as batch, "
                f"file_row_number as position from {file} where {owner} is not null"
            ).pl()
        )
    return pl.concat(found)


def _owner(con: duckdb.DuckDBPyConnection, run: Run, batch: Batch, file: str, listed: str) -> str:
    """SQL of which of the accounts listed a landed row is of, NULL where of none: by the mapping, or as it was when it was landed.

    Raises:
        SourceError: neither can be read.
    """
    sources: dict[str, Source] = {each.name: each for role in ROLES for each in getattr(run.business.sources, role)}
    expressions = [batch.account] if batch.account else []
    try:
        expressions.append(account_of(sources[batch.source], batch.columns, batch.where))
    except (KeyError, SourceError) as error:
        if not expressions:
            raise SourceError(
                f"{batch.where}: nobody can tell which of its rows are of which account, since the business file does not read it. "
                f"Nothing was erased. Bring back its source and mapping, or remove {batch.manifest_path(run.landed)}."
            ) from error
    owners = (
        as_text(con, batch.where, "a Parquet file", file, "account_id", each) for each in dict.fromkeys(expressions)
    )
    return f"coalesce({', '.join(f'case when {owner} in ({listed}) then {owner} end' for owner in owners)})"


def _lines_found(landed: Path, known: Sequence[Batch], accounts: Sequence[str]) -> pl.DataFrame:
    """Which of the lines that could not be read may name them; all, where accounts are not read as they stand there."""
    wanted = set(accounts)
    found = [
        (next(iter(wanted & values_of(line)), None), batch.source, batch.batch, position)
        for batch in known
        for position, line in enumerate(_broken(batch, landed)["text"])
        if line != WITHHELD and (not (batch.account and plain_column(batch.account)) or wanted & values_of(line))
    ]
    return pl.DataFrame(found, schema=FOUND, orient="row")


def _broken(batch: Batch, landed: Path) -> pl.DataFrame:
    """The lines of a batch that could not be read."""
    if batch.broken_lines:
        return pl.read_parquet(batch.broken_path(landed))
    return pl.DataFrame(schema={"line": pl.Int64, "text": pl.String, "fault": pl.String})


def _refuse_unknown(path: Path, accounts: Sequence[str]) -> None:
    unknown = [each for each in accounts if not (exists(path) and rows_found(path, [each]))]
    if unknown:
        raise ConfigurationError(
            f"there is no account {unknown[0]!r}"
            + f", nor {len(unknown) - 1:,} others of those named" * (len(unknown) > 1)
            + f", neither among what was landed nor in {path}. Nothing was erased. Is it spelt right? Capital and small letters differ."
        )


def _batches_of(found: pl.DataFrame) -> list[tuple[str, str]]:
    return found.select("source", "batch").unique().rows()


def _erase(
    con: duckdb.DuckDBPyConnection,
    run: Run,
    path: Path,
    accounts: Sequence[str],
    known: Sequence[Batch],
    rows: pl.DataFrame,
    lines: pl.DataFrame,
    wait_seconds: float,
) -> None:
    """Erases what was found, and lets no run begin until all of it is done."""
    business, landed = run.business, run.landed
    before = forgotten(business.state)
    listed = before.with_more(accounts, run.started_at.date())
    touched = [*_batches_of(rows), *_batches_of(lines)]
    write_list(listed, business.state)
    if exists(path):
        try:
            publishing.erase(path, accounts, touched, run.run_id, run.started_at, wait_seconds, memory_limit(business))
        except RapportError:
            write_list(before, business.state)  # nothing was erased yet
            raise
    postgres_warehouse.erase(business, accounts, touched, wait_seconds)
    _take_away_computed(business.state)
    for batch in known:
        theirs = (found.filter(source=batch.source, batch=batch.batch).select("position") for found in (rows, lines))
        _erase_from(con, batch, landed, *theirs)
    _take_away_left_over(landed, _landed(landed))
    write_list(listed.finished(accounts), business.state)


def _take_away_computed(directory: Path) -> None:
    """Takes away what runs made, which the next one makes anew: the state, sealed packages, and what those left that were killed."""
    for name in COMPUTED:
        if (directory / name).exists():
            shutil.rmtree(directory / name)
    for file in (directory / FILE, *wals(directory / FILE)):
        file.unlink(missing_ok=True)
    sync(directory)


def _take_away_left_over(landed: Path, known: Sequence[Batch]) -> None:
    """Takes away what runs that were killed left of landing, and batches that are damaged and count no more."""
    whole = _readable(known, landed)
    kept = {
        file for batch in whole for file in (batch.path(landed), batch.broken_path(landed), batch.manifest_path(landed))
    }
    for file in {*landed.glob("*/*")} - kept:
        if LANDED.fullmatch(file.name):
            file.unlink()


def _erase_from(
    con: duckdb.DuckDBPyConnection, batch: Batch, landed: Path, rows: pl.DataFrame, lines: pl.DataFrame
) -> None:
    """Lands a batch again without rows, and without the text of lines, under another name, and takes the old one away.

    A batch and its manifest are two files: of two batches of one origin that a kill left side by side one counts.
    """
    if rows.is_empty() and lines.is_empty():
        return
    rest, rest_broken = batch.path(landed).with_suffix(".part"), batch.broken_path(landed).with_suffix(".broken.part")
    listed = ", ".join(map(identifier, batch.columns))
    con.register("theirs", rows)
    con.execute(
        f"copy (select {listed} from {parquet(batch.path(landed), more=', file_row_number = true')} "
        f"where file_row_number not in (select position from theirs)) "
        f"to {literal(str(rest))} (format parquet, compression zstd)"
    )
    con.unregister("theirs")
    parts = [(rest, Batch.path)]
    if batch.broken_lines:
        is_theirs = pl.int_range(pl.len()).is_in(lines["position"].implode())
        text = pl.when(is_theirs).then(pl.lit(WITHHELD)).otherwise("text").alias("text")
        _broken(batch, landed).with_columns(text).write_parquet(rest_broken)
        parts.append((rest_broken, Batch.broken_path))
    sums = [sha256_of(part) for part, _ in parts]
    left = replace(
        batch,
        batch=sha256("\0".join([batch.batch, *sums]).encode()).hexdigest()[:16],
        rows=batch.rows - rows.height,
        sha256=sums[0],
        broken_sha256=sums[1] if batch.broken_lines else "",
    )
    for part, path in parts:
        sync(part)
        part.replace(path(left, landed))
    write_manifest(left, left.manifest_path(landed))
    for path in (Batch.manifest_path, Batch.path, Batch.broken_path):
        path(batch, landed).unlink(missing_ok=True)
    sync(landed / batch.source)


def _left(con: duckdb.DuckDBPyConnection, run: Run, path: Path, accounts: Sequence[str]) -> Iterator[str]:
    """Reads again all that is left, for what reads like them."""
    yield from _left_in_landed(con, run.landed, accounts)
    if exists(path):
        yield from _left_in_warehouse(path, accounts)
    yield from _left_in_files(run.business, path, accounts)


def _left_in_landed(con: duckdb.DuckDBPyConnection, landed: Path, accounts: Sequence[str]) -> Iterator[str]:
    """Values that are one of them, in any column of what is landed."""
    listed, pattern = ", ".join(map(literal, accounts)), _pattern(accounts)
    for batch in _landed(landed):
        counts = ", ".join(
            f"count_if({text(identifier(name), kind)} in ({listed}))"
            for name, kind in zip(batch.columns, batch.types, strict=True)
        )
        [found] = con.execute(f"select {counts} from {parquet(batch.path(landed))}").fetchall()
        told = zip(batch.columns, found, strict=True)
        yield from (f"{batch.where}: {count:,} rows of others have it as {name}" for name, count in told if count)
        count = sum(bool(pattern.search(line.encode())) for line in _broken(batch, landed)["text"])
        if count:
            yield f"{batch.where}: {count:,} lines that could not be read have its characters"


def _left_in_warehouse(path: Path, accounts: Sequence[str]) -> Iterator[str]:
    """Words that are one of them, in any text of the warehouse, and as JSON writes them."""
    words = "|".join(re.escape(each) for account in accounts for each in {account, json.dumps(account)[1:-1]})
    with faults_explained(path), opened(path) as con:
        for name, columns in publishing.standing(con).items():
            texts = [each.name for each in PUBLISHED[name] if each.type == "VARCHAR" and each.name in columns]
            counts = ", ".join(f"count_if(regexp_matches({identifier(each)}, $word))" for each in texts)
            word = rf"(^|[^\pL\pN_])({words})($|[^\pL\pN_])"
            [found] = con.execute(f"select {counts} from {publishing.table(name)}", {"word": word}).fetchall()
            told = zip(texts, found, strict=True)
            yield from (f"{path}, {name}: {count:,} rows have it in {each}" for each, count in told if count)


def _left_in_files(business: Business, path: Path, accounts: Sequence[str]) -> Iterator[str]:
    """The bytes of one of them, in any file below the state or beside the warehouse."""
    pattern, beside = _pattern(accounts), (file for file in path.parent.iterdir() if file.name.startswith(path.name))
    for file in sorted({*business.state.rglob("*"), *beside}):
        if file.is_file() and file.stat().st_size:
            with file.open("rb") as read, mmap.mmap(read.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if pattern.search(content):
                    yield f"{file}: its characters are in it, perhaps in other values"


def _pattern(accounts: Sequence[str]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(account.encode()) for account in accounts))
