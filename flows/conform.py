"""Conform: landed batches become typed rows, each accepted, superseded by a later version, or quarantined."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import duckdb

from config.decisions import Merge
from config.errors import SourceError
from config.expressions import moment_sql, plain_column, scalar_sql, source_columns
from config.rules import INCOMING, RULES, Rule
from config.settings import Business
from config.sources import Source
from config.tables import CONTENT_KEYS, ENGAGEMENTS, NO_LINE, ORDERS, Column, Table
from flows.batches import Batch, verify
from flows.duck import identifier, literal, materialise, parquet, rows, trying
from flows.landing import not_computed, resolved
from flows.values import ROW_KEY, text

DAYS = {"orders": ("ordered_at", "ordered_on"), "engagements": ("occurred_at", "occurred_on")}
TABLES: dict[str, Table] = {"orders": ORDERS, "engagements": ENGAGEMENTS}
HERE = {"": 1}
SHOWN = 5
"""Batches that a refusal names."""
LOWERED = ("kind", "direction", "status", "channel")
WITH_ZONE = r":\d{2}(\.\d*)?\s*[A-Za-z+-]"
"""A time of day with an offset, a zone's name, AM or PM behind it: a cast to timestamp would drop that unseen."""


@dataclass(frozen=True)
class RowCount:
    """What became of the rows of one source: read = accepted + superseded + quarantined."""

    role: str
    source: str
    read: int
    accepted: int
    superseded: int
    quarantined: int


def check_rows(
    con: duckdb.DuckDBPyConnection,
    business: Business,
    role: str,
    landed: Path,
    batches: Sequence[Batch],
    merges: Sequence[Merge] = (),
) -> None:
    """Builds `checked_<role>`: every row of the batches that count, typed, and the reason why, where it is refused.

    And `named_<role>`: which accounts that merges name each batch has rows of, before any is merged.

    A line that could not be read is a row without values, at the end of its batch. A row of an account that was merged into
    another is a row of that other.

    Raises:
        SourceError: a batch is damaged, or has not the columns that the mapping reads.
    """
    verify(landed, batches)
    sources = {source.name: source for source in getattr(business.sources, role)}
    broken = [batch for batch in batches if batch.broken_lines]
    with trying(con):
        selects = [
            *(_typed(con, business, role, sources[alike[0].source], landed, alike) for alike in _alike(batches)),
            *([_untyped(role, landed, broken)] if broken else []),
        ]
    # of a source's own keys no two are alike: to look for a dictionary costs as much as all else of a row
    declared = ", ".join(
        f"{identifier(name)} {kind}" + " using compression 'zstd'" * (name == CONTENT_KEYS[role])
        for name, kind, *_ in con.execute(f"describe {_checked(role, business, merges, _none(role))}").fetchall()
    )
    con.execute(f"create or replace table checked_{role} ({declared})")
    named = _literals(account for each in merges for account in (each.account_id, each.into))
    con.execute(f"create or replace table named_{role} (batch varchar, account_id varchar)")
    for select in selects:
        try:
            con.execute(f"insert into checked_{role} {_checked(role, business, merges, select)}")
        except (duckdb.DataError, duckdb.ProgrammingError):
            with trying(con):  # costs half as much again, and few expressions need it
                con.execute(f"insert into checked_{role} {_checked(role, business, merges, select)}")
        if named:
            con.execute(
                f"insert into named_{role} select distinct batch, account_id from ({select}) where account_id in ({named})"
            )


def _checked(role: str, business: Business, merges: Sequence[Merge], typed: str) -> str:
    """The select of typed rows, of the account that remains, with their day and the reason why one is refused."""
    moment, day = DAYS[role]
    # every moment lies between the years 1 and 9999, so that its local day can be told
    local_day = f"cast(make_timestamptz(epoch_us({moment})) at time zone {literal(business.timezone)} as date)"
    account = f"{_remaining_account(merges)} as account_id"
    currency = f", {literal(business.currency)} as reporting_currency" * (role == "orders")
    return (
        f"select * exclude (fault), {_reason(role)} as reason "
        f"from (select * replace ({account}), {local_day} as {day}, cast(delivered_at as date) + 1 as latest_on{currency} "
        f"from ({typed}))"
    )


def _remaining_account(merges: Sequence[Merge]) -> str:
    if not merges:
        return "account_id"
    merged, remaining = (_literals(getattr(each, name) for each in merges) for name in ("account_id", "into"))
    return f"coalesce(map([{merged}], [{remaining}])[account_id], account_id)"


def _literals(texts: Iterable[str]) -> str:
    return ", ".join(map(literal, texts))


def _alike(batches: Iterable[Batch]) -> list[list[Batch]]:
    """The batches that one select can read: of one source, with the same columns of the same types."""
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Batch]] = {}
    for batch in batches:
        groups.setdefault((batch.source, batch.columns, batch.types), []).append(batch)
    return list(groups.values())


def _typed(
    con: duckdb.DuckDBPyConnection, business: Business, role: str, source: Source, landed: Path, alike: Sequence[Batch]
) -> str:
    """The select that types batches."""
    newest = alike[-1]
    where = newest.where
    mapping = resolved(
        source.columns,
        [name for name in newest.columns if name != ROW_KEY],
        where,
        f"No other was landed of it on {newest.known_at:%Y-%m-%d}, and it is gone. Nothing was published. "
        "Bring the file back, or give the column a list of alternatives.",
    )
    _refuse_other_keys(alike, mapping.get(CONTENT_KEYS[role]))
    kinds = {name.lower(): kind for name, kind in zip(newest.columns, newest.types, strict=True)}
    zone = source.timezone or business.timezone
    values, unreadable = [], {}
    for column in TABLES[role]:
        value, given = _absent(column, business), None
        if column.name in mapping:
            expression = mapping[column.name]
            sql = _computed(column, expression)
            value = _value(column, sql, _kind(con, sql, newest.path(landed), where, column, expression), zone)
            given = _given(column, expression, kinds)
        if column.name == CONTENT_KEYS[role]:
            value = f"coalesce({value}, {identifier(ROW_KEY)})"
        values.append(f"{value} as {column.name}")
        if given:
            unreadable[column.name] = f"({value} is null and {given})"
    return f"""
        select
            rapport_source as source,
            rapport_batch as batch,
            file_row_number as position,
            rapport_delivered_at as delivered_at,
            {", ".join(values)},
            {_listed(unreadable)} as unreadable,
            cast(null as varchar) as fault
        from {_read(landed, alike, Batch.path)}"""


def _refuse_other_keys(alike: Iterable[Batch], key: str | None) -> None:
    """Lets no batch in whose rows were landed with a key of their own, but not the one that is mapped now.

    The content of such rows was not landed, so all that have no key by the mapping would be one.
    """
    other = next((batch for batch in alike if batch.key not in (None, key)), None)
    if other:
        column = CONTENT_KEYS[other.role]
        raise SourceError(
            f"{other.where}: it was landed on {other.known_at:%Y-%m-%d} with {column} read as {other.key}, which the mapping "
            "no longer says; its rows cannot be told apart otherwise. Nothing was published. Map "
            f"{column} as it was, or bring the file back if it is gone."
        )


def _listed(unreadable: Mapping[str, str]) -> str:
    """SQL of the names of the columns whose condition holds, each with a comma behind it, after a comma.

    Of most rows none holds, and putting a text together costs more than all the conditions.
    """
    if not unreadable:
        return "','"
    names = " || ".join(f"case when {holds} then '{name},' else '' end" for name, holds in unreadable.items())
    return f"case when {' or '.join(unreadable.values())} then ',' || {names} else ',' end"


def _untyped(role: str, landed: Path, broken: Sequence[Batch]) -> str:
    """The select of the lines that could not be read: rows without values."""
    columns = ", ".join(f"cast(null as {column.type}) as {column.name}" for column in TABLES[role])
    return f"""
        select
            rapport_source as source,
            rapport_batch as batch,
            rapport_rows + file_row_number as position,
            rapport_delivered_at as delivered_at,
            {columns},
            ',' as unreadable,
            fault
        from {_read(landed, broken, Batch.broken_path)}"""


def _read(landed: Path, batches: Sequence[Batch], path: Callable[[Batch, Path], Path]) -> str:
    """The rows of the batches' files, each with `file_row_number` and what is known of its batch.

    The names are none that a source's own column may have, see `flows.landing.RESERVED`.
    """
    files = parquet(
        *(path(batch, landed) for batch in batches), more=", file_row_number = true, filename = 'rapport_file'"
    )
    known = ", ".join(
        f"({literal(batch.batch)}, {literal(batch.source)}, timestamp '{batch.delivered_at.isoformat()}', {batch.rows})"
        for batch in batches
    )
    return (
        f"{files} inner join (values {known}) as known (rapport_batch, rapport_source, rapport_delivered_at, rapport_rows) "
        "on parse_filename(rapport_file, true) = rapport_batch"
    )


def _none(role: str) -> str:
    columns = ", ".join(f"cast(null as {column.type}) as {column.name}" for column in TABLES[role])
    return (
        "select '' as source, '' as batch, cast(0 as bigint) as position, cast(null as timestamp) as delivered_at, "
        f"{columns}, ',' as unreadable, '' as fault where false"
    )


def _computed(column: Column, expression: str) -> str:
    """An expression as SQL that is NULL where it cannot be computed."""
    sql = moment_sql(expression) if column.type == "TIMESTAMP" else scalar_sql(expression)
    return sql if plain_column(expression) else f"try({sql})"


def _kind(con: duckdb.DuckDBPyConnection, sql: str, file: Path, where: str, column: Column, expression: str) -> str:
    """The type that an expression has in a file.

    Raises:
        SourceError: it does not fit the types of the columns that it reads.
    """
    try:
        # of one row, for a regular expression that is none is found out when it is used
        return str(con.execute(f"select {sql} from {parquet(file)} limit 1").description[0][1])
    except duckdb.Error as error:
        raise not_computed(where, column.name, expression, error) from error


def _absent(column: Column, business: Business) -> str:
    """What a column that the source does not map holds."""
    if column.name == "currency":
        return literal(business.currency)
    return literal(NO_LINE) if column.name == "line" else f"cast(null as {column.type})"


def _value(column: Column, sql: str, kind: str, zone: str) -> str:
    if column.type == "TIMESTAMP":
        return _moment(sql, kind, zone)
    if column.type == "VARCHAR":
        return _text(column, sql, kind)
    if column.type == "DOUBLE":
        return f"case when isfinite(try_cast({sql} as double)) then try_cast({sql} as double) end"
    return f"try_cast({sql} as {column.type})"


def _text(column: Column, sql: str, kind: str) -> str:
    value = text(sql, kind)
    if column.name in LOWERED:
        return f"lower({value})"
    if column.name == "currency":
        return f"upper({value})"
    return f"coalesce({value}, {literal(NO_LINE)})" if column.name == "line" else value


def _moment(sql: str, kind: str, zone: str) -> str:
    """A UTC timestamp: a value with an offset as it says, one without in the source's zone; within the years 1 to 9999.

    A local time that the change to summer time leaves out counts as an hour later, one that comes twice as the later.
    """
    if kind == "VARCHAR":
        # of '... 10:00:00 +0200' and '... 10:00:00 Z' the blank is in the way, and of '...z' the small letter
        zoned = f"try_cast(regexp_replace(upper(trim({sql})), '\\s+([+-]\\d|Z$)', '\\1') as timestamptz)"
        naive = _local(f"trim({sql})", zone)
        moment = f"case when regexp_matches({sql}, {literal(WITH_ZONE)}) then {zoned} else {naive} end"
    elif kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        moment = f"try_cast({sql} as timestamptz)"
    elif kind.startswith(("TIMESTAMP", "DATE")):
        moment = _local(sql, zone)
    else:
        return "cast(null as timestamp)"
    # by way of microseconds, for `at time zone 'UTC'` would cost as much again
    utc = f"make_timestamp(epoch_us({moment}))"
    return f"case when {utc} between timestamp '0001-01-01' and timestamp '9999-12-30' then {utc} end"


def _local(sql: str, zone: str) -> str:
    return f"try(try_cast({sql} as timestamp) at time zone {literal(zone)})"


def _given(column: Column, expression: str, kinds: dict[str, str]) -> str | None:
    """SQL that tells whether the source says anything: where it does, a value that is NULL is unreadable, not missing.

    None for what may come out as NULL: text, and what is computed and not required.
    """
    if column.type == "VARCHAR":
        return None
    merely_read = plain_column(expression)
    names = [merely_read] if merely_read else sorted(source_columns(expression)) if column.required else []
    said = (
        f"trim({name}) <> ''" if kind == "VARCHAR" else f"{name} is not null"
        for name, kind in ((identifier(name), kinds[name.lower()]) for name in names)
    )
    return " and ".join(said) or None


def _reason(role: str) -> str:
    """SQL of why a row is refused: the first rule that it breaks; those on what cannot be read look at few rows."""
    rules = RULES[INCOMING[role]]
    unreadable = [rule for rule in rules if rule.kwargs.get("column") == "unreadable"]
    return (
        "case when fault is not null then 'the line cannot be read: ' || fault "
        f"when unreadable <> ',' then case {_whens(unreadable)} end {_whens(rules[len(unreadable) :])} end"
    )


def _whens(rules: Iterable[Rule]) -> str:
    return "\n".join(f"when {rule.predicate} then {literal(rule.reason)}" for rule in rules)


def without_rows(con: duckdb.DuckDBPyConnection, accounts: Iterable[str]) -> list[str]:
    """Those of the accounts that merges name of which no batch that counts has a row of their own."""
    found = con.execute(
        " union ".join(
            f"select account_id from named_{role} union select account_id from state.named_{role} "
            "where batch not in (select batch from work.before.batches)"
            for role in TABLES
        )
    ).fetchall()
    seen = {account for (account,) in found}
    return [account for account in accounts if account not in seen]


def where_unfit(con: duckdb.DuckDBPyConnection, batches: Iterable[Batch], is_night: bool) -> list[str]:
    """Sentences on where the rows that are refused came from, and how to be rid of them.

    Args:
        con: the run's connection.
        batches: those that count.
        is_night: whether rows count that are not in `checked_<role>`, but in the state.
    """
    landed = {batch.batch: batch for batch in batches}
    refused = " union all ".join(
        [
            *(f"select batch, position, reason from checked_{role} where reason is not null" for role in TABLES),
            *[
                "select batch, position, reason from state.quarantine where batch not in (select batch from work.before.batches)"
            ]
            * is_night,
        ]
    )
    found = con.execute(
        "select batch, sum(found), first(reason order by found desc, reason), first(place order by found desc, reason) "
        f"from (select batch, reason, count(*) as found, min(position) as place from ({refused}) group by batch, reason) "
        "group by batch order by sum(found) desc, batch"
    ).fetchall()
    if not found:
        return []
    more = [f"So are rows of {len(found) - SHOWN:,} others."] if len(found) > SHOWN else []
    return [
        *(
            f"{landed[batch].where}: {unfit:,} of {landed[batch].read:,} rows are unfit, most often since {reason}, "
            f"first at position {place:,}."
            for batch, unfit, reason, place in found[:SHOWN]
        ),
        *more,
        "Correct them where they come from. A file that is gone stays counted until another of its name comes, be it one "
        "of a header alone.",
    ]


def keep_latest(con: duckdb.DuckDBPyConnection, role: str) -> None:
    """Leaves in `checked_<role>` the rows that stand: versions that a later one replaces go to `superseded_<role>`.

    Unfit rows are taken out; `quarantine` has them.
    """
    materialise(con, f"staging/superseded_{role}")
    con.execute(f"delete from checked_{role} where reason is not null")
    con.execute(
        f"delete from checked_{role} using superseded_{role} as old "
        f"where checked_{role}.batch = old.batch and checked_{role}.position = old.position"
    )


def quarantine(con: duckdb.DuckDBPyConnection, landed: Path, batches: Sequence[Batch]) -> int:
    """Builds `quarantine`: each refused row as it was read, from both roles; lines that could not be read included.

    Returns:
        The rows refused.
    """
    refused = " union all ".join(
        f"select source, batch, position, reason from checked_{role} where reason is not null" for role in TABLES
    )
    con.execute(f"create or replace temp table refused as {refused}")
    con.execute(
        "create or replace table quarantine "
        "(source varchar, batch varchar, position bigint, reason varchar, row_json varchar)"
    )
    affected = {batch for (batch,) in con.execute("select distinct batch from refused").fetchall()}
    for alike in _alike(batch for batch in batches if batch.batch in affected):
        shown = ", ".join(f"{identifier(name)} := {identifier(name)}" for name in alike[0].columns if name != ROW_KEY)
        _insert(con, "file_row_number", shown, _read(landed, alike, Batch.path))
    broken = [batch for batch in batches if batch.broken_lines]
    if broken:
        shown = "line := line, text := text"
        _insert(con, "rapport_rows + file_row_number", shown, _read(landed, broken, Batch.broken_path))
    con.execute("drop table refused")
    return rows(con, "quarantine")


def _insert(con: duckdb.DuckDBPyConnection, position: str, shown: str, read: str) -> None:
    landed = (
        f"select rapport_batch, {position} as landed_position, to_json(struct_pack({shown})) as row_json from {read}"
    )
    con.execute(
        "insert into quarantine select source, batch, position, reason, cast(row_json as varchar) from refused "
        f"inner join ({landed}) on batch = rapport_batch and position = landed_position"
    )


def row_counts(
    con: duckdb.DuckDBPyConnection,
    role: str,
    counted: Sequence[Batch],
    replaced: Sequence[Batch],
    parts: Mapping[str, int] = HERE,
) -> list[RowCount]:
    """What became of every row landed, per source.

    Args:
        con: the run's connection, after `keep_latest` and `quarantine`.
        role: orders or engagements.
        counted: the batches that count.
        replaced: earlier versions of changed files: all their rows are superseded.
        parts: schemas whose tables make up what there is, each with 1, or -1 where its rows are taken out.

    Raises:
        SourceError: the balance does not hold; a defect of Rapport, so nothing may be published.
    """
    accepted, superseded, refused = (
        _tally(con, table, parts) for table in (f"checked_{role}", f"superseded_{role}", "quarantine")
    )
    counts = []
    for source in sorted({batch.source for batch in chain(counted, replaced)}):
        old = sum(batch.read for batch in replaced if batch.source == source)
        read = sum(batch.read for batch in counted if batch.source == source) + old
        count = RowCount(role, source, read, accepted[source], superseded[source] + old, refused[source])
        if count.read != count.accepted + count.superseded + count.quarantined:
            raise SourceError(
                f"{role} (source {source}): the rows do not balance, {count}. Nothing was published. "
                "Run once with --rebuild. If that balances, Rapport is at fault all the same: report it."
            )
        counts.append(count)
    return counts


def _tally(con: duckdb.DuckDBPyConnection, table: str, parts: Mapping[str, int]) -> Counter[str]:
    """The rows of a table by source, over its parts."""
    tally: Counter[str] = Counter()
    for schema, sign in parts.items():
        for source, count in con.execute(f"select source, count(*) from {schema}{table} group by source").fetchall():
            tally[source] += sign * count
    return tally
