"""A table of a Postgres database as a source: read whole or from its cursor on, in one snapshot, by exact types."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from config.errors import ConfigurationError, SourceError
from flows.batches import Batch, batches, current
from flows.check import Checked, checks
from flows.forgetting import forget
from flows.runs import new_run, run_stages
from tests.end_to_end.serving import RAPPORT
from tests.ingest import (
    EVENTS,
    NIGHT,
    ORDERS,
    column,
    csv,
    firm,
    firm_file,
    ingested,
    landed,
    source,
    taken_in,
)
from tests.postgres import PASSWORD, PASSWORD_VARIABLE, USER, Database
from tests.waiting import WAIT_SECONDS

NEXT_NIGHT = NIGHT + timedelta(days=1)
NIGHT_AFTER = NIGHT + timedelta(days=2)
READ_ON = {"cursor": "changed", "overlap": "2d"}
SHOP = """
    create table orders (
        id text, no integer, account text, at timestamptz, amount numeric(12, 2), changed timestamptz, note text
    )"""
MAIL = "create table mail (id bigint, account text, at timestamptz, kind text, direction text, changed timestamptz)"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shop(postgres) -> Database:
    """A database with an empty table of orders."""
    postgres.execute(SHOP)
    return postgres


def order(number: int, changed: str, amount: str = "10.00", day: str = "2026-01-05") -> str:
    return f"insert into orders values ('o{number}', 1, 'A{number}', '{day} 10:00+00', {amount}, '{changed}+00')"


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    found = con.execute(
        f"select * exclude (row_md5) from read_parquet('{batch.path(Path('state/landed'))}') order by all"
    )
    return [dict(zip([each[0] for each in found.description], row, strict=True)) for row in found.fetchall()]


def refusal(*orders: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SourceError) as refused:
        landed(firm(*orders, **more))
    return str(refused.value)


# from the cursor on


def test_a_second_night_lands_only_the_rows_that_are_new_or_late(shop):
    shop.execute(*(order(number, f"2026-01-1{number} 08:00") for number in range(1, 5)))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    assert [batch.rows for batch in landed(business)] == [4]
    late, new = order(5, "2026-01-13 09:00"), order(6, "2026-01-15 20:00")
    shop.execute(late, new)
    assert [batch.rows for batch in landed(business, NEXT_NIGHT)] == [2]
    assert column(ingested(business).orders, "order_id") == ["o1", "o2", "o3", "o4", "o5", "o6"]
    assert ingested(business).counts == {"shop": (6, 6, 0, 0)}


def test_rows_of_an_account_that_was_forgotten_are_left_out_of_what_is_read_and_read_again(shop):
    shop.execute(*(order(number, f"2026-01-1{number} 08:00") for number in range(1, 5)))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    assert forget(business, ["A3"]).left == ()
    [batch] = batches(Path("state/landed"), "shop")
    assert column(rows_of(batch), "id") == ["o1", "o2", "o4"]
    # A3's row is within the overlap, and a new one comes
    assert landed(business, NEXT_NIGHT) == []
    shop.execute(order(5, "2026-01-14 09:00"), order(6, "2026-01-14 09:00").replace("A6", "A3"))
    [batch] = landed(business, NEXT_NIGHT)
    assert column(rows_of(batch), "id") == ["o5"]
    [whole] = landed(business, NIGHT_AFTER, again=True)
    assert column(rows_of(whole), "id") == ["o1", "o2", "o4", "o5"]


def test_the_overlap_begins_just_so_far_behind_the_highest_value(shop):
    shop.execute(order(1, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute(order(2, "2026-01-12 08:00"), order(3, "2026-01-12 07:59:59.999999"))
    [batch] = landed(business, NEXT_NIGHT)
    assert column(rows_of(batch), "id") == ["o2"]


def test_nights_without_a_new_row_land_nothing(shop):
    shop.execute(order(1, "2026-01-14 08:00"), order(2, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    assert len(landed(business)) == 1
    assert landed(business, NEXT_NIGHT) == []
    assert landed(business, NIGHT_AFTER) == []


def test_a_row_that_arrives_late_twice_over_counts_each_time(shop):
    shop.execute(order(1, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    for number, night in ((2, NEXT_NIGHT), (3, NIGHT_AFTER)):
        shop.execute(order(number, "2026-01-13 08:00"))
        assert [batch.rows for batch in landed(business, night)] == [1]
    assert column(ingested(business).orders, "order_id") == ["o1", "o2", "o3"]


def test_a_corrected_row_supersedes_its_earlier_version(shop):
    shop.execute(order(1, "2026-01-14 08:00"), order(2, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute("update orders set amount = 12.50, changed = '2026-01-15 08:00+00' where id = 'o1'")
    assert [batch.rows for batch in landed(business, NEXT_NIGHT)] == [1]
    assert column(ingested(business).orders, "order_id", "amount") == [("o1", Decimal("12.5")), ("o2", Decimal(10))]
    assert ingested(business).counts == {"shop": (3, 2, 1, 0)}


def test_a_row_that_gets_back_its_earlier_content_counts_with_that(shop):
    shop.execute(order(1, "2026-01-13 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    for amount, changed, night in (
        ("12.50", "2026-01-14 08:00", NEXT_NIGHT),
        ("10.00", "2026-01-15 08:00", NIGHT_AFTER),
    ):
        shop.execute(f"update orders set amount = {amount}, changed = '{changed}+00'")
        assert [batch.rows for batch in landed(business, night)] == [1]
    assert column(ingested(business).orders, "amount") == [Decimal(10)]


def test_a_deleted_row_stays_counted_until_a_rebuild(shop):
    shop.execute(order(1, "2026-01-14 08:00"), order(2, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute("delete from orders where id = 'o1'")
    assert landed(business, NEXT_NIGHT) == []
    assert column(ingested(business).orders, "order_id") == ["o1", "o2"]
    landed(business, NIGHT_AFTER, again=True)
    assert column(ingested(business).orders, "order_id") == ["o2"]


def test_a_rebuild_reads_the_whole_table_in_place_of_all_that_was_landed(shop):
    shop.execute(order(1, "2026-01-01 08:00"), order(2, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute(order(3, "2026-01-15 08:00"), order(4, "2026-01-02 08:00"))
    landed(business, NEXT_NIGHT)
    [whole] = landed(business, NIGHT_AFTER, again=True)
    assert whole.rows == 4
    assert current(batches(Path("state/landed"), "shop")) == [whole]
    assert ingested(business).counts == {"shop": (7, 4, 3, 0)}
    shop.execute(order(5, "2026-01-16 08:00"))
    assert [batch.rows for batch in landed(business, NIGHT_AFTER)] == [1]
    assert len(ingested(business).orders) == 5


def test_what_was_known_by_then_counts_as_it_was_read(shop):
    shop.execute(order(1, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute("update orders set amount = 11, changed = '2026-01-15 08:00+00'", order(2, "2026-01-15 08:00"))
    landed(business, NEXT_NIGHT)
    landed(business, NIGHT_AFTER, again=True)
    then = ingested(business, known_at=NIGHT.replace(tzinfo=None))
    assert column(then.orders, "order_id", "amount") == [("o1", 10)]
    assert len(ingested(business, known_at=NEXT_NIGHT.replace(tzinfo=None)).orders) == 2


def test_a_row_without_a_value_of_the_cursor_is_read_whenever_it_comes(shop):
    shop.execute(order(1, "2026-01-14 08:00"), "insert into orders values ('o2', 1, 'B', '2026-01-05', 1)")
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute("insert into orders values ('o3', 1, 'C', '2026-01-05', 1)")
    assert [column(rows_of(batch), "id") for batch in landed(business, NEXT_NIGHT)] == [["o3"]]
    assert landed(business, NIGHT_AFTER) == []


def test_a_row_without_a_value_of_the_cursor_that_is_again_what_it_was_counts_as_that(shop):
    shop.execute(order(1, "2026-01-14 08:00"), "insert into orders values ('o2', 1, 'B', '2026-01-05', 1)")
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    for amount, night in ((2, NEXT_NIGHT), (1, NIGHT_AFTER)):
        shop.execute(f"update orders set amount = {amount} where id = 'o2'")
        assert [column(rows_of(batch), "id") for batch in landed(business, night)] == [["o2"]]
        assert column(ingested(business).orders, "order_id", "amount") == [("o1", 10), ("o2", amount)]
    assert landed(business, NIGHT_AFTER) == []


@pytest.mark.parametrize("far", ["2099-01-01", "infinity"])
def test_a_time_yet_to_come_does_not_hide_the_rows_before_it(shop, far):
    shop.execute(order(1, "2026-01-14 08:00"), f"insert into orders values ('o2', 1, 'B', '2026-01-05', 1, '{far}')")
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute(order(3, "2026-01-15 08:00"))
    assert [column(rows_of(batch), "id") for batch in landed(business, NEXT_NIGHT)] == [["o3"]]


def test_a_table_that_was_empty_is_read_whole(shop):
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    assert [batch.rows for batch in landed(business)] == [0]
    assert landed(business, NEXT_NIGHT) == []
    shop.execute(order(1, "2025-12-01 08:00"))
    assert [batch.rows for batch in landed(business, NIGHT_AFTER)] == [1]


@pytest.mark.parametrize(
    ("kind", "values", "overlap", "read"),
    [
        ("integer", ("100", "90", "89"), 10, ["o2"]),
        ("bigint", ("9000000000", "8999999999", "8999999998"), 1, ["o2"]),
        ("smallint", ("100", "100", "99"), 0, ["o2"]),
        ("date", ("'2026-01-14'", "'2026-01-12'", "'2026-01-11'"), "2d", ["o2"]),
        ("timestamp", ("'2026-01-14 08:00'", "'2026-01-13 20:00'", "'2026-01-13 19:59'"), "12h", ["o2"]),
    ],
)
def test_a_cursor_is_a_time_or_a_whole_number(shop, kind, values, overlap, read):
    shop.execute(f"alter table orders add seq {kind}")
    first, *later = (
        f"insert into orders values ('o{number}', 1, 'A', '2026-01-05', 1, null, '', {value})"
        for number, value in enumerate(values, start=1)
    )
    shop.execute(first)
    business = firm(shop.source("orders", ORDERS, cursor="seq", overlap=overlap))
    landed(business)
    shop.execute(*later)
    assert [column(rows_of(batch), "id") for batch in landed(business, NEXT_NIGHT)] == [read]


def test_a_mapping_that_reads_another_column_reads_the_whole_table(shop):
    shop.execute(order(1, "2025-12-01 08:00"), order(2, "2026-01-14 08:00"), "update orders set note = 'web'")
    landed(firm(shop.source("orders", ORDERS, **READ_ON)))
    business = firm(shop.source("orders", ORDERS | {"channel": "note"}, **READ_ON))
    assert [batch.rows for batch in landed(business, NEXT_NIGHT)] == [2]
    assert column(ingested(business).orders, "channel") == ["web", "web"]


@pytest.mark.parametrize(
    "changed", [{"table": "later"}, {"cursor": "at"}, {"database": "template1"}], ids=["table", "cursor", "database"]
)
def test_another_table_or_cursor_is_read_whole(shop, changed):
    shop.execute(order(1, "2026-01-14 08:00"))
    given = shop.source("orders", ORDERS | {"updated_at": "changed"}, **READ_ON)
    landed(firm(given))
    shop.execute(order(2, "2026-01-01 08:00", day="2026-01-01"), "create table later as select * from orders")
    other = Database(shop.port, "template1")
    other.execute("drop table if exists orders", SHOP, order(3, "2026-01-01 08:00"), order(4, "2026-01-01 08:00"))
    assert [batch.rows for batch in landed(firm(given | changed), NEXT_NIGHT)] == [2]


def test_a_night_whose_rows_have_no_time_reads_on_from_where_the_others_came_to(shop):
    shop.execute(order(1, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute("delete from orders", "insert into orders values ('o2', 1, 'B', '2026-01-05', 1)")
    assert [batch.rows for batch in landed(business, NEXT_NIGHT)] == [1]
    shop.execute(order(3, "2026-01-01 08:00"))
    assert landed(business, NIGHT_AFTER) == []
    assert column(ingested(business).orders, "order_id") == ["o1", "o2"]


def test_a_column_whose_type_changes_is_read_on(shop):
    shop.execute(order(1, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **READ_ON))
    landed(business)
    shop.execute("alter table orders alter amount type numeric(14, 4)", order(2, "2026-01-15 08:00", "0.1234"))
    landed(business, NEXT_NIGHT)
    assert column(ingested(business).orders, "order_id", "amount") == [("o1", 10), ("o2", Decimal("0.1234"))]


# the whole table


def test_without_a_cursor_each_night_reads_the_table_in_place_of_the_night_before(shop):
    shop.execute(order(1, "2026-01-14 08:00"), order(2, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS))
    assert [batch.rows for batch in landed(business)] == [2]
    shop.execute("delete from orders where id = 'o1'", order(3, "2026-01-14 08:00"))
    assert [batch.rows for batch in landed(business, NEXT_NIGHT)] == [2]
    assert column(ingested(business).orders, "order_id") == ["o2", "o3"]
    assert ingested(business).counts == {"shop": (4, 2, 2, 0)}


def test_a_table_that_is_unchanged_is_landed_once_whatever_the_order_of_its_rows(shop):
    shop.execute(order(1, "2026-01-14 08:00"), order(2, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS))
    landed(business)
    shop.execute("update orders set id = id where id = 'o1'")
    assert landed(business, NEXT_NIGHT) == []
    assert len(landed(business, NIGHT_AFTER, again=True)) == 1


def test_rows_without_a_number_of_their_own_are_known_by_all_that_the_table_says_of_them(shop):
    shop.execute("alter table orders add serial_no serial", *[order(1, "2026-01-14 08:00")] * 2)
    columns = {ours: theirs for ours, theirs in ORDERS.items() if ours != "line_number"}
    assert ingested_counts(firm(shop.source("orders", columns))) == (2, 2, 0, 0)
    shop.execute("alter table orders drop serial_no, add empty text")
    assert ingested_counts(firm(shop.source("orders", columns), state="other")) == (2, 1, 1, 0)


def ingested_counts(business) -> tuple[int, int, int, int]:
    landed(business)
    return ingested(business).counts["shop"]


@pytest.mark.parametrize(
    ("kind", "values", "number"),
    [
        ("text", ("1a", "1b"), "cast(no as integer)"),
        ("text", ("1a", "1b"), "strptime(no, '%d')"),
        ("text", ("\N{NO-BREAK SPACE}", " "), "no"),
        ("double precision", ("NaN", "NaN"), "no"),
    ],
)
def test_a_row_whose_own_number_cannot_be_read_is_known_by_its_content(shop, kind, values, number):
    shop.execute(
        order(1, "2026-01-14 08:00"),
        order(1, "2026-01-14 08:00", "11.00"),
        f"alter table orders alter no type {kind} using case amount when 11 then '{values[0]}' else '{values[1]}' end::{kind}",
    )
    assert ingested_counts(firm(shop.source("orders", ORDERS | {"line_number": number}))) == (2, 2, 0, 0)


@pytest.mark.parametrize("number", ["no", "nullif(no, 1)"])
def test_a_row_whose_own_number_is_missing_is_known_by_its_content(shop, number):
    shop.execute(order(1, "2026-01-14 08:00"), order(1, "2026-01-14 08:00", "11.00"), "update orders set no = null")
    assert ingested_counts(firm(shop.source("orders", ORDERS | {"line_number": number}))) == (2, 2, 0, 0)


def test_only_the_columns_that_the_mapping_reads_are_landed(shop):
    shop.execute(order(1, "2026-01-14 08:00"), "update orders set note = 'a secret'")
    [batch] = landed(firm(shop.source("orders", ORDERS)))
    assert batch.columns == ("account", "amount", "at", "id", "no", "row_md5")
    assert b"a secret" not in batch.path(Path("state/landed")).read_bytes()


def test_views_schemas_and_odd_names_are_read(postgres):
    postgres.execute(
        'create schema "Sales; drop"',
        'create table "Sales; drop"."Or""ders" ("Id" text, no integer, "the account" text, at date, amount numeric(9, 2))',
        """insert into "Sales; drop"."Or""ders" values ('o1', 1, 'A', '2026-01-05', 1)""",
        'create view "Sales; drop".v as select * from "Sales; drop"."Or""ders"',
        'create materialized view "Sales; drop".m as select * from "Sales; drop".v',
    )
    columns = ORDERS | {"order_id": "id", "account_id": '"the account"'}
    for table in ('Or"ders', "v", "m"):
        found = taken_in(postgres.source(f"Sales; drop.{table}", columns), state=f"state {ord(table[0])}")
        assert column(found.orders, "order_id", "account_id") == [("o1", "A")]


# exact values


@pytest.mark.parametrize(
    ("declared", "value", "type_", "landed_as"),
    [
        ("numeric(38, 10)", "1234567890123456789012345678.0123456789", "DECIMAL(38,10)",
         Decimal("1234567890123456789012345678.0123456789")),
        ("numeric", "0.1234567890123456789012345678901234567890123", "VARCHAR",
         "0.1234567890123456789012345678901234567890123"),
        ("numeric(5, -2)", "12345", "VARCHAR", "12300"),
        ("numeric(3, 5)", "0.00123", "VARCHAR", "0.00123"),
        ("bigint", "9223372036854775807", "BIGINT", 9223372036854775807),
        ("double precision", "0.1", "DOUBLE", 0.1),
        ("double precision", "'-Infinity'", "DOUBLE", float("-inf")),
        ("real", "0.1", "FLOAT", pytest.approx(0.1, abs=1e-8)),
        ("boolean", "true", "BOOLEAN", True),
        ("timestamptz", "'2026-01-05 10:00:00.123456-05'", "TIMESTAMP WITH TIME ZONE",
         datetime(2026, 1, 5, 15, 0, 0, 123456, tzinfo=UTC)),
        ("timestamp(3)", "'2026-01-05 10:00:00.123'", "TIMESTAMP", datetime(2026, 1, 5, 10, 0, 0, 123000)),
        ("date", "'2026-02-28'", "DATE", datetime(2026, 2, 28).date()),
        ("char(5)", "'ab'", "VARCHAR", "ab"),
        ("text", "''", "VARCHAR", ""),
        ("text", "E'\\x01 \\t\\n\\u00e9\\U0001F600'", "VARCHAR", "\x01 \t\né\U0001f600"),
        ("jsonb", """'{"a": "\\\\u0001"}'""", "VARCHAR", '{"a": "\\\\u0001"}'),
        ("json", """'{"a": "\\u0000"}'""", "VARCHAR", '{"a": "\\u0000"}'),
        ("bytea", "'\\x00ff'", "VARCHAR", "\\x00ff"),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "VARCHAR", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("text[]", "array['a', 'b c']", "VARCHAR", '{a,"b c"}'),
        ("interval", "'1 day 02:00'", "VARCHAR", "1 day 02:00:00"),
    ],
)  # fmt: skip
def test_a_value_is_landed_exactly(shop, declared, value, type_, landed_as):
    shop.execute(f"alter table orders add x {declared}", order(1, "2026-01-14 08:00"), f"update orders set x = {value}")
    [batch] = landed(firm(shop.source("orders", ORDERS | {"category": "x"})))
    [row] = rows_of(batch)
    assert (batch.types[batch.columns.index("x")], row["x"]) == (type_, landed_as)


@pytest.mark.parametrize(
    "setting",
    ["datestyle = 'German'", "timezone = 'Asia/Tokyo'", "extra_float_digits = -5", "client_encoding = 'LATIN1'"],
)
def test_how_the_database_shows_values_by_default_changes_none(shop, setting):
    shop.execute(
        f"alter database {shop.name} set {setting}",
        "alter table orders add x double precision default 0.30000000000000004",
        order(1, "2026-01-14 08:00"),
        "update orders set account = 'Zoë'",
    )
    [row] = taken_in(shop.source("orders", ORDERS | {"quantity": "x"})).orders
    assert (row["ordered_at"], row["quantity"]) == (datetime(2026, 1, 5, 10), 0.30000000000000004)
    assert row["account_id"] == "Zoë"


def test_a_row_without_a_number_of_its_own_stays_the_same_however_the_database_shows_it(shop):
    shop.execute(order(1, "2026-01-14 08:00"))
    columns = {ours: theirs for ours, theirs in ORDERS.items() if ours != "line_number"}
    business = firm(shop.source("orders", columns))
    landed(business)
    shop.execute(f"alter database {shop.name} set timezone = 'Asia/Tokyo'")
    assert landed(business, NEXT_NIGHT) == []


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 BC", "294276-12-31"])
def test_a_time_that_is_none_is_refused_with_its_reason_and_the_others_are_not(shop, value):
    shop.execute(order(1, "2026-01-14 08:00"), order(2, "2026-01-14 08:00"))
    shop.execute(f"update orders set at = '{value}' where id = 'o2'")
    found = taken_in(shop.source("orders", ORDERS))
    assert column(found.orders, "order_id", "ordered_at") == [("o1", datetime(2026, 1, 5, 10))]
    assert column(found.quarantine, "reason") == ["ordered_at is unreadable"]


@pytest.mark.parametrize("declared", ["numeric(12, 2)", "numeric", "double precision", "real"])
def test_a_number_that_is_none_is_refused_with_its_reason_and_the_others_are_not(shop, declared):
    shop.execute(f"alter table orders alter amount type {declared}", order(1, "2026-01-14 08:00", "10.25"))
    shop.execute(order(2, "2026-01-14 08:00", "'NaN'"))
    found = taken_in(shop.source("orders", ORDERS))
    assert column(found.orders, "order_id", "amount") == [("o1", Decimal("10.25"))]
    assert column(found.quarantine, "reason") == ["amount is unreadable"]


def test_money_is_added_up_by_expressions_over_numerics(shop):
    shop.execute(order(1, "2026-01-14 08:00", "0.10"))
    [row] = taken_in(shop.source("orders", ORDERS | {"amount": "amount * 3"})).orders
    assert row["amount"] == Decimal("0.3")


# one snapshot


def test_rows_committed_while_the_table_is_read_come_the_night_after(shop, monkeypatch):
    from flows import postgres_tables

    shop.execute(order(1, "2026-01-14 08:00"))
    fetch = postgres_tables.fetched

    def after_another_commit(*given):
        shop.execute(order(2, "2026-01-14 09:00"))
        return fetch(*given)

    business = firm(shop.source("orders", ORDERS, **READ_ON))
    monkeypatch.setattr(postgres_tables, "fetched", after_another_commit)
    assert [column(rows_of(batch), "id") for batch in landed(business)] == [["o1"]]
    monkeypatch.undo()


# errors


def test_a_server_that_is_away_is_told_without_the_password(shop):
    away = shop.source("orders", ORDERS) | {"port": 1}
    assert refusal(away) == (
        f"orders (source shop), table orders: there is no connection to the database {shop.name} on 127.0.0.1, port 1 "
        "(Connection refused). Nothing was read. Start the server, or correct its host, port, database, user or password in the "
        "business file."
    )
    assert "could not translate" in refusal(away | {"host": "no.such.host.invalid"})


@pytest.mark.parametrize("password", [PASSWORD + "x", "'", "\\", "it's = \\' %41 &", "x y host=elsewhere", USER])
def test_a_wrong_password_is_told_and_not_shown(shop, monkeypatch, password):
    monkeypatch.setenv(PASSWORD_VARIABLE, password)
    with pytest.raises(SourceError) as refused:
        landed(firm(shop.source("orders", ORDERS)))
    told = str(refused.value)
    assert "(password authentication failed for user" in told
    assert password not in told.replace("the source's host", "")
    error: BaseException | None = refused.value
    while error:
        assert password not in str(error).replace("the source's host", "")
        error = error.__cause__ or error.__context__


def test_a_password_that_is_nowhere_is_told_by_its_name(shop, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(
        ConfigurationError, match=rf"^orders \(source shop\).*: the environment variable {PASSWORD_VARIABLE} is not set"
    ):
        landed(firm(shop.source("orders", ORDERS)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"database": "nowhere"}, '(database "nowhere" does not exist)'),
        ({"table": "oders"}, "has no such table. Did you mean 'public.orders'? Nothing was read. Correct the source's"),
        ({"table": "sales.orders"}, "has no such table. Did you mean 'public.orders'?"),
        ({"table": "Orders"}, "has no such table."),
        (
            {"columns": ORDERS | {"amount": "amnt"}},
            "there is no column amnt, which amount is read from. Did you mean amount?\nIts columns are id, no, account, ",
        ),
        (
            {"cursor": "changd", "overlap": "3d"},
            "there is no column changd, the cursor. Did you mean 'changed'? Nothing was read. Correct the source's cursor",
        ),
        (
            {"cursor": "note", "overlap": "3d"},
            "the cursor note is neither a time nor a whole number. Nothing was read.",
        ),
        (
            {"cursor": "changed", "overlap": 3},
            "the cursor changed is of the type timestamptz, and for that an overlap is hours or days such as 12h or 3d.",
        ),
        ({"cursor": "no", "overlap": "3d"}, "the cursor no is of the type integer, and for that an overlap is a whole"),
    ],
)
def test_what_the_database_does_not_have_is_told(shop, changed, told):
    assert told in refusal(shop.source("orders", ORDERS) | changed)


def test_a_table_that_the_user_may_not_read_is_told(shop, monkeypatch):
    shop.execute(
        "create role stranger login password 'other'",
        "create schema hidden",
        "create view hidden.v as select * from orders",
    )
    monkeypatch.setenv(PASSWORD_VARIABLE, "other")
    given = shop.source("orders", ORDERS) | {"user": "stranger"}
    told = "the user stranger may not read it. Nothing was read. Grant that user select on the table and usage on its"
    assert told in refusal(given)
    shop.execute("grant select on hidden.v to stranger")
    assert told in refusal(given | {"table": "hidden.v"})


def test_columns_that_the_user_may_not_read_are_left_alone(shop, monkeypatch):
    shop.execute(
        order(1, "2026-01-14 08:00"),
        "create role clerk login password 'other'",
        "grant select (id, no, account, at, amount) on orders to clerk",
    )
    monkeypatch.setenv(PASSWORD_VARIABLE, "other")
    assert len(taken_in(shop.source("orders", ORDERS) | {"user": "clerk"}).orders) == 1


def test_a_view_that_fails_is_told_without_values(shop):
    shop.execute(order(1, "2026-01-14 08:00"), "update orders set account = 'Jane Doe'")
    shop.execute("create view broken as select id, no, cast(account as integer) as account, at, amount from orders")
    told = refusal(shop.source("broken", ORDERS))
    assert told == (
        'orders (source shop), table broken: it cannot be read (invalid input syntax for type integer: "..."). '
        "Nothing was read. Put that right and run again."
    )


def test_a_connection_lost_on_the_way_is_told_and_leaves_nothing_half_landed(shop):
    shop.execute(
        "insert into orders select 'o' || g, 1, repeat('x', 500), now(), 1, now() from generate_series(1, 100000) as g",
        "create view cut as select case when id = 'o90000' then pg_terminate_backend(pg_backend_pid())::text else id "
        "end as id, no, account, at, amount from orders",
    )
    told = refusal(shop.source("cut", ORDERS))
    assert told.startswith("orders (source shop), table cut: it cannot be read (terminating connection due to")
    assert list(Path("state/landed/shop").glob("*.json")) == []
    assert [batch.rows for batch in landed(firm(shop.source("orders", ORDERS)), NEXT_NIGHT)] == [100_000]


def test_without_the_extra_a_source_of_files_is_read_and_a_table_is_not(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    assert refusal(shop.source("orders", ORDERS)) == (
        "orders (source shop), table orders: Postgres needs the extra 'postgres', which is not installed. "
        "Nothing was read. Install it: uv sync --extra postgres."
    )


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_command_line_tells_it_in_one_sentence_and_keeps_the_password_to_itself(shop, folder, command):
    wrong = PASSWORD.replace("2", "3")
    file = firm_file(folder, shop.source("orders", ORDERS))
    ended = subprocess.run(
        [RAPPORT, command, "--config", file],
        env=os.environ | {PASSWORD_VARIABLE: wrong},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert ended.returncode == SourceError.exit_code == 4
    [told] = ended.stderr.strip().splitlines()
    assert told.startswith("orders (source shop), table orders: there is no connection to the database postgres on")
    written = [each.read_bytes() for each in folder.rglob("*") if each.is_file()]
    assert not any("hunter" in said for said in (ended.stdout, ended.stderr))
    assert not any(b"hunter" in content for content in written)


def test_a_password_with_special_characters_leaves_no_trace_of_a_night(shop, folder):
    shop.execute(order(1, "2026-01-14 08:00"))
    taken_in(shop.source("orders", ORDERS, **READ_ON))
    written = [each.read_bytes() for each in folder.rglob("*") if each.is_file()]
    assert len(written) == 2
    assert not any(b"hunter" in content for content in written)


KILLED = """
import os, signal, sys
from pathlib import Path
from config.settings import load
from flows import landing
from tests.ingest import landed
write = landing.write_manifest
landing.write_manifest = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
landed(load(Path("firm.yaml")))
"""


def test_a_run_killed_between_the_rows_and_the_manifest_leaves_nothing_half_landed(shop, folder):
    shop.execute(order(1, "2026-01-14 08:00"))
    given = shop.source("orders", ORDERS, **READ_ON)
    firm_file(folder, given)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, timeout=WAIT_SECONDS)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert batches(Path("state/landed"), "shop") == []
    assert [batch.rows for batch in landed(firm(given))] == [1]
    assert column(ingested(firm(given)).orders, "order_id") == ["o1"]


@pytest.mark.parametrize("read_on", [READ_ON, {}])
def test_what_was_landed_is_held_against_its_sum_before_rows_are_left_out(shop, read_on):
    shop.execute(order(1, "2026-01-14 08:00"))
    business = firm(shop.source("orders", ORDERS, **read_on))
    [batch] = landed(business)
    batch.path(Path("state/landed")).unlink()
    with pytest.raises(SourceError) as refused:
        landed(business, NEXT_NIGHT)
    assert str(refused.value).startswith(
        "orders (source shop), table orders at 2026-01-15T02:00:00: what was landed of it on 2026-01-15 in state/landed/"
    )
    landed(business, NEXT_NIGHT, again=True)
    assert column(ingested(business).orders, "order_id") == ["o1"]


# a look, and a whole run


def test_a_look_reads_the_first_rows(shop):
    shop.execute("insert into orders select 'o' || g, 1, 'A', '2026-01-05', 1 from generate_series(1, 1500) as g", MAIL)
    mail = shop.source("mail", EVENTS, name="mail")
    found = checks(firm(shop.source("orders", ORDERS), engagements=[mail]))
    assert found[2:] == [
        Checked("orders, source shop", "table orders, 1,000 rows looked at, all fit"),
        Checked("engagements, source mail", "table mail, 0 rows looked at, all fit"),
    ]


def ran(business, as_of: str, rebuild: bool = False) -> list[str]:
    run = new_run(business, as_of=datetime.fromisoformat(as_of).date(), rebuild=rebuild)
    return [timing.did for timing in run_stages(run, lambda stage: None)]


def published(warehouse: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(warehouse, read_only=True) as con:
        return (
            con.execute("select * exclude (run_id) from rapport.account_segments order by account_id, line").fetchall()
            + con.execute("select * from rapport.account_features order by account_id, line").fetchall()
        )


HISTORY = (
    "insert into orders select 'o' || g, 1, 'A' || g % 40, timestamptz '2025-01-01 12:00+00' + g * interval '9 hours', "
    "10 + g % 7, timestamptz '2025-01-01 13:00+00' + g * interval '9 hours' from generate_series({}, {}) as g"
)
CONTACTS = (
    "insert into mail select g, 'A' || g % 30, timestamptz '2025-01-01 12:00+00' + g * interval '5 hours', "
    "case when g % 5 = 0 then 'meeting' else 'email' end, case when g % 2 = 0 then 'inbound' else 'outbound' end, "
    "timestamptz '2025-01-01 12:00+00' + g * interval '5 hours' from generate_series({}, {}) as g"
)


def export(shop: Database, folder: Path) -> None:
    """Writes both tables as CSV files."""
    for table, columns in (("orders", "id,no,account,at,amount"), ("mail", "id,account,at,kind,direction")):
        lines = shop.rows(f"select concat_ws(',', {columns}) from {table}")
        csv(folder, f"{table}.csv", columns, *(line for (line,) in lines))


def test_two_nights_from_a_database_give_the_verdicts_of_the_same_rows_from_csv(shop, folder):
    tables = firm(
        shop.source("orders", ORDERS, **READ_ON),
        engagements=[shop.source("mail", EVENTS, name="mail", **READ_ON)],
        state="tables",
        warehouse={"kind": "duckdb", "path": "tables.duckdb"},
    )
    shop.execute(MAIL, HISTORY.format(1, 800), CONTACTS.format(1, 1500))
    first = ran(tables, "2025-11-30")
    assert "with 2,300 rows were landed" in first[0]
    files = firm(
        source("orders.csv", ORDERS | {"ordered_at": "cast(at as timestamptz)"}),
        engagements=[source("mail.csv", EVENTS, "mail")],
        state="files",
        warehouse={"kind": "duckdb", "path": "files.duckdb"},
    )
    export(shop, folder)
    ran(files, "2025-11-30")
    shop.execute(
        HISTORY.format(801, 812),
        CONTACTS.format(1501, 1510),
        "update orders set amount = 99, changed = '2025-11-02 00:00+00' where id = 'o700'",
        "insert into orders values ('late', 1, 'A1', '2025-06-01', 5, '2025-10-27 00:00+00')",
    )
    second = ran(tables, "2025-12-01")
    assert "with 24 rows were landed" in second[0]

    export(shop, folder)
    ran(files, "2025-12-01")
    assert published("tables.duckdb") == published("files.duckdb")
