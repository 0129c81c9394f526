"""The ledger of account-days and the statistics reduced from it: made from all rows, or kept up for those that changed.

Whatever way the rows came, night by night or at once, the tables are the same.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from flows.duck import literal, materialise, rows, statement
from flows.state import use
from transforms import purchases
from transforms.purchases import PurchaseModels, as_record, fitted_until, from_record, histories

ROLES = ("orders", "engagements")
UNITS = {"orders": "order_id", "engagements": "event_id"}
"""What is taken up anew as a whole when a row of it changes: a return counts on the day of its order."""


@dataclass(frozen=True)
class DayTable:
    """A table of the ledger whose rows add up.

    Attributes:
        key: what a row is of.
        rows: SQL that counts what went into a row: nothing is left of one where it is 0.
    """

    key: tuple[str, ...]
    rows: str


DAY_TABLES = {
    "order_days": DayTable(("account_id", "line", "order_day", "booked_on"), "order_lines"),
    "contract_terms": DayTable(("account_id", "line", "starts_on", "booked_on", "term_days"), "order_lines"),
    "price_days": DayTable(("account_id", "line", "product_id", "order_day"), "priced_lines"),
    "contact_days": DayTable(("account_id", "line", "contact_day"), "events"),
}
ANSWER_DAYS = 7
CONVERSATION_DAYS = 30
"""How long a conversation stays open without a personal event."""
GONE = "batch in (select batch from before.batches)"
LEDGER_TABLES = (*DAY_TABLES, "conversation_days")
LEDGER_VIEWS = (*ROLES, "silent_returns", "order_lines")
"""The views on the rows that stand from which the `DAY_TABLES` are made, each after those that it reads."""
REDUCED = {
    "purchase_histories": ("features/purchase_histories",),
    "account_statistics": (
        "features/occasion_days",
        "features/order_statistics",
        "features/monthly_revenue",
        "features/contact_statistics",
        "features/co_development_statistics",
        "features/conversation_statistics",
        "features/people_statistics",
        "features/active_months",
        "features/account_statistics",
    ),
}
"""What is kept of each account x line as of a day, and the statements that reduce it from the ledger."""

DAILY = ("features/contract_statistics", "features/price_statistics")
"""What is reduced anew each night: it changes from day to day, or with other accounts."""


def days_of(as_of: date) -> dict[str, object]:
    """The days that bound the windows of features, as the statements of `sql/features` name them."""
    months = as_of.year * 12 + as_of.month - 1 - 11
    return {
        "as_of": as_of,
        "year_from": as_of - timedelta(days=364),
        "conversations_from": as_of - timedelta(days=364 + CONVERSATION_DAYS),
        "answered_until": as_of - timedelta(days=ANSWER_DAYS),
        "two_years_from": as_of - timedelta(days=729),
        "first_month": date(months // 12, months % 12 + 1, 1),
    }


def recall(con: duckdb.DuckDBPyConnection) -> None:
    """Brings the state's rows of every order or event that a night touches into `before`.

    Those of batches that still count stand for election again, in `after`, beside the new rows.
    """
    for role, unit in UNITS.items():
        _recall(con, role, unit)
    con.execute(f"create table before.quarantine as select * from state.quarantine where {GONE}")


def _recall(con: duckdb.DuckDBPyConnection, role: str, unit: str) -> None:
    touched = [f"select source, {unit} from after.checked_{role} where reason is null"]
    if rows(con, "before.batches"):
        touched += [
            f"select source, {unit} from state.{kept}_{role} where {GONE}" for kept in ("checked", "superseded")
        ]
    con.execute(f"create table after.touched_{role} as {' union '.join(touched)}")
    for kept in ("checked", "superseded"):
        con.execute(
            f"create table before.{kept}_{role} as "
            f"select * from state.{kept}_{role} semi join after.touched_{role} using (source, {unit})"
        )
        con.execute(f"insert into after.checked_{role} select * from before.{kept}_{role} where not {GONE}")


def make_ledger(con: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Makes the ledger of a new state, for runs as of a day and later ones."""
    use(con, "state.main", "work.main")
    for name in LEDGER_VIEWS:
        materialise(con, f"staging/{name}", kind="view")
    for name in DAY_TABLES:
        materialise(con, f"ledger/{name}")
    for name in LEDGER_VIEWS:
        con.execute(f"drop view {name}")
    _converse_from(con, as_of)
    con.execute("insert into batches select * from work.after.batches")


def add_to_ledger(con: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Puts a night's rows into the state and adds them to its ledger, all of it or nothing."""
    for schema in ("before", "after"):
        use(con, f"work.{schema}")
        for name in LEDGER_VIEWS:
            materialise(con, f"staging/{name}", kind="view")
        for name in DAY_TABLES:
            materialise(con, f"ledger/{name}")
    for name, table in DAY_TABLES.items():
        con.execute(f"create table after.new_{name} as {_added_up(con, name, table)}")
    _look_around(con, as_of)
    con.execute("begin")
    for role in ROLES:
        for kept in (f"checked_{role}", f"superseded_{role}"):
            _replace(con, kept, f"before.{kept}", ("batch", "position"), f"after.{kept}")
        _replace(con, f"named_{role}", "before.batches", ("batch",), f"after.named_{role}")
    _replace(con, "quarantine", "before.batches", ("batch",), "after.quarantine")
    _replace(con, "batches", "before.batches", ("batch",), "after.batches")
    for name, table in DAY_TABLES.items():
        _replace(con, name, f"after.touched_{name}", table.key, f"after.new_{name}")
    _converse(con, as_of)
    _note_due(con)
    con.execute("commit")
    _leave(con, "memory.near")
    if rows(con, f"state.conversed where conversations_from > {_conversations_from(as_of)}"):
        _converse_from(con, as_of)


def reduce(con: duckdb.DuckDBPyConnection, name: str, as_of: date) -> None:
    """Brings a table of `REDUCED` up to a day, for the account lines for which anything changed.

    The purchase models fitted to it are forgotten where any row, or the day, is another than before.
    """
    last = con.execute("select as_of from state.reduced where name = $name", {"name": name}).fetchall()
    con.execute("create schema memory.reducing")
    if last:
        parameters = days_of(as_of) | {f"{bound}_before": day for bound, day in days_of(last[0][0]).items()}
        use(con, "memory.reducing", "state.main")
        materialise(con, "features/aged_account_lines", parameters)
        con.execute(
            "create table due_account_lines as select account_id, line from aged_account_lines "
            f"union select account_id, line from state.due where name = '{name}'"
        )
    use(con, "memory.reducing")
    only = "semi join due_account_lines using (account_id, line)" if last else ""
    for table in sorted({*LEDGER_TABLES} & _read(REDUCED[name])):
        con.execute(f"create view {table} as select * from state.{table} {only}")
    for role in ROLES:
        con.execute(f"create view checked_{role} as select * from state.checked_{role} {only}")
        materialise(con, f"staging/{role}", kind="view")
    *before, whole = REDUCED[name]
    for part in before:
        materialise(con, part, days_of(as_of))
    materialise(con, whole, days_of(as_of), schema="memory.reducing" if last else "state.main")
    is_changed = last != [(as_of,)] or _differs(con, name)
    con.execute("begin")
    if is_changed:
        con.execute("delete from state.fitted where name = $name", {"name": name})
    if last:
        key = ("account_id", "line")
        _replace(con, name, "memory.reducing.due_account_lines", key, f"memory.reducing.{name}")
    con.execute("delete from state.reduced where name = $name", {"name": name})
    con.execute("delete from state.due where name = $name", {"name": name})
    con.execute("insert into state.reduced values ($name, $as_of)", {"name": name, "as_of": as_of})
    con.execute("commit")
    _leave(con, "memory.reducing")


def reduce_account_lines(con: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Makes `account_lines` as of a day."""
    reduce(con, "account_statistics", as_of)
    for name in DAILY:
        materialise(con, name, days_of(as_of))
    materialise(con, "features/account_lines", kind="view")


def fitted_models(con: duckdb.DuckDBPyConnection, as_of: date, last_good: PurchaseModels | None) -> PurchaseModels:
    """The purchase models of a day: those that the state keeps, fitted anew where a purchase history changed.

    A model that stands in for one that did not fit is not kept: it is another for another day's run. Before anything was
    bought they are fitted on what was bought by the day itself.
    """
    until = fitted_until(as_of)
    reduce(con, "purchase_histories", until)
    kept = con.execute("select record from state.fitted where name = 'purchase_histories'").fetchall()
    if kept:
        return from_record(json.loads(kept[0][0]))
    bought = con.sql("select * from state.purchase_histories").pl()
    if not bought["occasions"].sum():
        for name in REDUCED["purchase_histories"]:
            materialise(con, name, days_of(as_of))
        return purchases.fitted_models(histories(con.sql("select * from purchase_histories").pl(), as_of), last_good)
    fitted = purchases.fitted_models(histories(bought, until), last_good)
    if {fit.origin for fit in (*fitted.occasions.values(), *fitted.values.values())} <= {"own", "pooled"}:
        record = json.dumps(as_record(fitted))
        con.execute("insert into state.fitted values ('purchase_histories', $record)", {"record": record})
    return fitted


def _leave(con: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Goes back from a schema to the run's tables, and takes it away."""
    use(con, "work.main", "state.main")
    con.execute(f"drop schema {schema} cascade")


def _read(statements: Sequence[str]) -> set[str]:
    """The names that statements select from."""
    return {name for each in statements for name in re.findall(r"(?:from|join) (\w+)", statement(each))}


def _added_up(con: duckdb.DuckDBPyConnection, name: str, table: DayTable) -> str:
    """The select of a ledger table's touched rows: what the state has, less what was, and what is now."""
    key = ", ".join(table.key)
    con.execute(
        f"create table after.touched_{name} as select {key} from before.{name} union select {key} from after.{name}"
    )
    columns = con.execute(f"describe state.{name}").fetchall()
    sums = {column: kind for column, kind, *_ in columns if column not in table.key}
    less = ", ".join(f"-{column}" for column in sums)
    added = ", ".join(f"cast(sum({column}) as {kind}) as {column}" for column, kind in sums.items())
    listed = ", ".join([*table.key, *sums])
    selected = ", ".join(
        f"cast({column} as {sums[column]}) as {column}" if column in sums else column for column, *_ in columns
    )
    return (
        f"select {selected} from (select {key}, {added} from ("
        f"select {listed} from state.{name} semi join after.touched_{name} using ({key}) "
        f"union all select {listed} from after.{name} "
        f"union all select {key}, {less} from before.{name}"
        f") group by {key} having sum({table.rows}) > 0)"
    )


def _look_around(con: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Prepares `near`: the events near days on which a night touches conversations, as they stand after it.

    Whether a message was answered depends on the `ANSWER_DAYS` after it. So what changes on a day changes that many days
    before it, and is read from as many after it.
    """
    con.execute("create schema memory.near")
    use(con, "memory.near")
    counts = f"occurred_on >= {_conversations_from(as_of)}"
    personal = f"select account_id, line, occurred_on from work.{{}}.engagements where is_personal and not is_referral and {counts}"
    con.execute(f"create table touched_days as {personal.format('before')} union {personal.format('after')}")
    for name, first, last in (("affected_days", -ANSWER_DAYS, 0), ("near_days", -ANSWER_DAYS, ANSWER_DAYS)):
        con.execute(
            f"create table {name} as select distinct account_id, line, occurred_on + cast(days.away as integer) as day "
            f"from touched_days cross join range({first}, {last + 1}) as days (away)"
        )
    same = "near.account_id = events.account_id and near.line = events.line and near.day = events.occurred_on"
    near = f"semi join near_days as near on {same}"
    con.execute(
        "create view checked_engagements as "
        f"select * from (select events.* from state.checked_engagements as events {near} where {counts}) "
        "anti join work.before.checked_engagements using (batch, position) "
        f"union all select events.* from work.after.checked_engagements as events {near}"
    )
    materialise(con, "staging/engagements")
    materialise(con, "staging/contacts", kind="view")
    use(con, "work.main", "memory.near")


def _converse_from(con: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Makes the conversations of a state, as far back as they count on a day; before that they cost and tell nothing."""
    first = _conversations_from(as_of)
    con.execute("create schema memory.conversing")
    use(con, "memory.conversing")
    con.execute(
        f"create view checked_engagements as select * from state.checked_engagements where occurred_on >= {first}"
    )
    for name in ("engagements", "contacts"):
        materialise(con, f"staging/{name}", kind="view")
    materialise(con, "ledger/conversation_days", schema="state.main")
    con.execute(f"create or replace table state.conversed as select {first} as conversations_from")
    _leave(con, "memory.conversing")


def _conversations_from(as_of: date) -> str:
    """The first day on which conversations count, as SQL."""
    return f"date {literal(str(days_of(as_of)['conversations_from']))}"


def _converse(con: duckdb.DuckDBPyConnection, as_of: date) -> None:
    same = "old.account_id = days.account_id and old.line = days.line and old.day = days.contact_day"
    con.execute(f"delete from state.conversation_days as days using affected_days as old where {same}")
    found = statement("ledger/conversation_days")
    con.execute(
        f"insert into state.conversation_days select days.* from ({found}) as days semi join affected_days as old on {same}"
    )
    first = _conversations_from(as_of)
    con.execute(f"update state.conversed set conversations_from = greatest(conversations_from, {first})")
    con.execute(
        "delete from state.conversation_days where contact_day < (select conversations_from from state.conversed)"
    )


def _note_due(con: duckdb.DuckDBPyConnection) -> None:
    """Notes the account lines whose statistics, and whose purchase histories, a night may have changed."""
    touched = " union ".join(
        f"select account_id, line from {schema}.{name}"
        for schema in ("before", "after")
        for name in ("order_days", "contact_days")
    )
    con.execute(f"insert into state.due select 'account_statistics', account_id, line from ({touched})")
    con.execute(
        "insert into state.due select distinct 'purchase_histories', account_id, line from after.touched_order_days "
        "where booked_on <= (select as_of from state.reduced where name = 'purchase_histories')"
    )


def _replace(con: duckdb.DuckDBPyConnection, table: str, old: str, key: Sequence[str], new: str) -> None:
    """Takes out of a table of the state the rows with a key of `old`, and puts those of `new` in."""
    same = " and ".join(f"kept.{column} = old.{column}" for column in key)
    con.execute(f"delete from state.{table} as kept using {old} as old where {same}")
    con.execute(f"insert into state.{table} select * from {new}")


def _differs(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    was = f"select * from state.{name} semi join due_account_lines using (account_id, line)"
    now = f"select * from {name}"
    different = f"(({was}) except all ({now})) union all (({now}) except all ({was}))"
    return bool(con.execute(f"select 1 from ({different}) limit 1").fetchall())
