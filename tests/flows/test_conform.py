"""Conforming: values become what they mean, each row is accepted, superseded or quarantined, and none is lost."""

import itertools
import json
import random
import tempfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import RapportError, SourceError
from config.settings import Business
from tests.ingest import EVENTS, NIGHT, ORDERS, Ingested, column, csv, firm, ingested, landed, source, taken_in

HEADER = "id,no,account,at,amount"
MAIL = "id,account,at,kind,direction"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(folder: Path, ours: str, *given: str, mapped: str = "it", **more: Any) -> list[Any]:
    """What one of our columns holds for these values of a CSV file; `quarantined` for a row that is refused."""
    lines = [f"o{number},1,A,2026-01-05,10.00,{value}" for number, value in enumerate(given)]
    csv(folder, "shop.csv", f"{HEADER},it", *lines)
    found = taken_in(source("shop.csv", ORDERS | {ours: mapped}), **more)
    held = {row["order_id"]: row[ours] for row in found.orders}
    return [held.get(f"o{number}", "quarantined") for number in range(len(given))]


def typed(folder: Path, ours: str, *given: Any, kind: pl.DataType | type[pl.DataType] | None = None) -> list[Any]:
    """What one of our columns holds for these values of a Parquet file; `quarantined` for a row that is refused."""
    rows = range(len(given))
    written = {"id": [f"o{row}" for row in rows], "no": rows, "account": "A", "at": date(2026, 1, 5), "amount": 10.0}
    pl.DataFrame(written).with_columns(it=pl.Series(given, dtype=kind)).write_parquet(folder / "shop.parquet")
    found = taken_in(source("shop.parquet", ORDERS | {ours: "it"}))
    held = {row["order_id"]: row[ours] for row in found.orders}
    return [held.get(f"o{row}", "quarantined") for row in rows]


REFUSED = "quarantined"


# times


@pytest.mark.parametrize(
    "mapped",
    [
        "at",
        "cast(at as timestamp)",
        "cast(at as timestamptz)",
        "cast(trim(at) as timestamp)",
        "cast(nullif(at, '') as timestamptz)",
        "coalesce(cast(nullif(no, '1') as timestamp), cast(at as timestamp))",
        "case when no = '1' then (cast(at as timestamptz)) else cast('2000-01-01' as timestamp) end",
        "nullif(cast(at as timestamp), cast('2000-01-01' as timestamp))",
        "coalesce(cast(nullif(no, '1') as date), at)",
    ],
)
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-05 10:00:00", datetime(2026, 1, 5, 15)),
        ("2026-01-05T10:00", datetime(2026, 1, 5, 15)),
        ("2025-07-05 10:00:00.123456", datetime(2025, 7, 5, 14, 0, 0, 123456)),
        ("2026-01-05", datetime(2026, 1, 5, 5)),
        (" 2026-01-05 ", datetime(2026, 1, 5, 5)),
        ("2026-01-05T10:00:00Z", datetime(2026, 1, 5, 10)),
        ("2026-01-05t10:00:00z", datetime(2026, 1, 5, 10)),
        ("2026-01-05 10:00:00 Z", datetime(2026, 1, 5, 10)),
        ("2026-01-05 10:00:00+02", datetime(2026, 1, 5, 8)),
        ("2026-01-05 10:00:00.5+02:00", datetime(2026, 1, 5, 8, 0, 0, 500000)),
        ("2026-01-05 10:00:00 +0200", datetime(2026, 1, 5, 8)),
        ("2026-01-05T10:00:00-0530", datetime(2026, 1, 5, 15, 30)),
        ("2026-01-05 10:00:00 UTC", datetime(2026, 1, 5, 10)),
        ("2026-01-05 10:00:00 Europe/Berlin", datetime(2026, 1, 5, 9)),
    ],
)
def test_a_time_is_in_the_zone_that_it_says_or_else_in_that_of_the_source(folder, written, meant, mapped):
    csv(folder, "shop.csv", HEADER, f"o1,1,A,{written},10.00")
    assert column(taken_in(source("shop.csv", ORDERS | {"ordered_at": mapped})).orders, "ordered_at") == [meant]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2025-03-09 01:59:59", datetime(2025, 3, 9, 6, 59, 59)),
        ("2025-03-09 02:00:00", datetime(2025, 3, 9, 7)),  # there was no such time: an hour later
        ("2025-03-09 02:30:00", datetime(2025, 3, 9, 7, 30)),
        ("2025-03-09 03:00:00", datetime(2025, 3, 9, 7)),
        ("2025-11-02 00:59:59", datetime(2025, 11, 2, 4, 59, 59)),
        ("2025-11-02 01:00:00", datetime(2025, 11, 2, 6)),  # it came twice: the later one
        ("2025-11-02 01:59:59", datetime(2025, 11, 2, 6, 59, 59)),
        ("2025-11-02 02:00:00", datetime(2025, 11, 2, 7)),
    ],
)
def test_local_times_on_the_days_that_the_clock_changes(folder, local, utc):
    csv(folder, "shop.csv", HEADER, f"o1,1,A,{local},10.00")
    [order] = taken_in(source("shop.csv")).orders
    assert (order["ordered_at"], order["ordered_on"]) == (utc, date.fromisoformat(local[:10]))


@pytest.mark.parametrize(
    ("zone", "written", "day"),
    [
        (None, "2026-01-05 00:00:00", date(2026, 1, 5)),
        (None, "2026-01-05 23:59:59.999999", date(2026, 1, 5)),
        (None, "2026-01-06 04:59:59Z", date(2026, 1, 5)),
        (None, "2026-01-06 05:00:00Z", date(2026, 1, 6)),
        ("Asia/Tokyo", "2026-01-06 13:59:59", date(2026, 1, 5)),
        ("Asia/Tokyo", "2026-01-06 14:00:00", date(2026, 1, 6)),
        ("Pacific/Kiritimati", "2026-01-06", date(2026, 1, 5)),
    ],
)
def test_a_day_begins_and_ends_at_the_midnight_of_the_business(folder, zone, written, day):
    csv(folder, "shop.csv", HEADER, f"o1,1,A,{written},10.00")
    assert column(taken_in(source("shop.csv", timezone=zone) if zone else source("shop.csv")).orders, "ordered_on") == [
        day
    ]


@pytest.mark.parametrize(
    "written",
    [
        "soon",
        "05.01.2026",
        "2026-02-30",
        "2026-01-05 10:00:00 PM",
        "2026-01-05 10:00:00 MEZ",
        "2026-01-05 25:00:00",
        "infinity",
        "-infinity",
        "1767607200",
        "10:00:00",
        "0000-01-01",
        "294247-01-10 04:00:54",
        "290000-01-01 (BC)",
    ],
)
def test_a_text_that_is_no_time_is_unreadable(folder, written):
    csv(folder, "shop.csv", HEADER, f"o1,1,A,{written},10.00", "o2,1,A,2026-01-05,10.00")
    found = taken_in(source("shop.csv"))
    assert (column(found.orders, "order_id"), column(found.quarantine, "reason")) == (
        ["o2"],
        ["ordered_at is unreadable"],
    )


@pytest.mark.parametrize(
    "mapped",
    ["epoch_ms(cast(at as bigint))", "coalesce(make_timestamp(1000 * cast(at as bigint)), cast(no as timestamp))"],
)
def test_what_is_counted_from_the_epoch_is_a_moment_whatever_the_zone(folder, mapped):
    csv(folder, "shop.csv", HEADER, "o1,1,A,1735700400000,10.00")
    found = taken_in(source("shop.csv", ORDERS | {"ordered_at": mapped}))
    assert column(found.orders, "ordered_at", "ordered_on") == [(datetime(2025, 1, 1, 3), date(2024, 12, 31))]


def utc(unit: Any, zone: str | None) -> pl.Series:
    """Ten o'clock UTC as a time of this zone, or of none."""
    series = pl.Series([datetime(2026, 1, 5, 10)], dtype=pl.Datetime(unit))
    return series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else series


@pytest.mark.parametrize(
    "mapped", ["at", "cast(at as timestamp)", "coalesce(cast(at as timestamp), cast(id as timestamp))"]
)
@pytest.mark.parametrize(
    ("at", "meant"),
    [
        (utc("us", None), datetime(2026, 1, 5, 15)),
        (utc("ns", None), datetime(2026, 1, 5, 15)),
        (utc("ms", None), datetime(2026, 1, 5, 15)),
        (utc("us", "UTC"), datetime(2026, 1, 5, 10)),
        (utc("ms", "Europe/Berlin"), datetime(2026, 1, 5, 10)),
        (utc("ns", "Europe/Berlin"), datetime(2026, 1, 5, 10)),
        (pl.Series([date(2026, 1, 5)]), datetime(2026, 1, 5, 5)),
        (pl.Series(["2026-01-05 10:00:00Z"]), datetime(2026, 1, 5, 10)),
    ],
)
def test_times_of_a_parquet_file_are_taken_as_their_type_says(at, meant, mapped):
    written = {"id": ["o1"], "no": [1], "account": ["A"], "amount": [10.0], "at": at}
    pl.DataFrame(written).write_parquet("shop.parquet")
    found = taken_in(source("shop.parquet", ORDERS | {"ordered_at": mapped}))
    assert column(found.orders, "ordered_at") == [meant]


@pytest.mark.parametrize(
    "at", [pl.Series([1767607200]), pl.Series([1767607200.5]), pl.Series([time(10)]), pl.Series([[1]])]
)
def test_what_is_neither_a_time_nor_text_is_no_time(at):
    pl.DataFrame({"id": ["o1"], "no": [1], "account": ["A"], "amount": [10.0], "at": at}).write_parquet("shop.parquet")
    assert column(taken_in(source("shop.parquet")).quarantine, "reason") == ["ordered_at is unreadable"]


# money and other numbers


def test_money_is_exact(folder):
    written = ["0.1", "999999999.9999", "-999999999.9999", " 12.50 ", "1e3", "0", "-0.0001"]
    expected = ["0.1", "999999999.9999", "-999999999.9999", "12.50", "1000", "0", "-0.0001"]
    assert values(folder, "amount", *written) == [Decimal(each) for each in expected]


def test_money_of_a_json_file_is_exact(folder):
    amounts = ["0.1", "0.2", "123456789.1234", "-99.99", '"7.70"']
    lines = [
        f'{{"id": "o{row}", "no": 1, "account": 7, "at": "2026-01-05", "amount": {each}}}'
        for row, each in enumerate(amounts)
    ]
    csv(folder, "shop.jsonl", *lines)
    found = taken_in(source("shop.jsonl"))
    assert column(found.orders, "amount") == [Decimal(each.strip('"')) for each in amounts]


def test_ten_thousand_cents_of_a_float_column_add_up(folder):
    pl.DataFrame(
        {"id": "o1", "no": range(10_000), "account": "A", "at": date(2026, 1, 5), "amount": 0.1}
    ).write_parquet("shop.parquet")
    assert sum(column(taken_in(source("shop.parquet")).orders, "amount")) == 1000


@pytest.mark.parametrize("written", ["NaN", "inf", "-inf", "1e30", "12,50 €", "$5", "1_0_", "ten", "99999999999999999"])
def test_an_amount_that_is_no_number_is_unreadable(folder, written):
    csv(folder, "shop.csv", HEADER, f'o1,1,A,2026-01-05,"{written}"')
    assert column(taken_in(source("shop.csv")).quarantine, "reason") == ["amount is unreadable"]


def test_amounts_at_the_limit_of_what_is_believed(folder):
    written = ["1000000000", "-1000000000", "999999999.9999"]
    assert values(folder, "amount", *written) == [REFUSED, REFUSED, Decimal("999999999.9999")]


@pytest.mark.parametrize(
    ("ours", "given", "kind", "held"),
    [
        ("amount", [float("nan"), float("inf"), 1e30, -5.25], None, [REFUSED, REFUSED, REFUSED, Decimal("-5.25")]),
        ("amount", [Decimal("0.12345"), Decimal("7.00000")], pl.Decimal(18, 5), [Decimal("0.1235"), Decimal(7)]),
        ("quantity", [1.5, float("inf"), None, -2.0], pl.Float64, [1.5, REFUSED, None, -2.0]),
        ("quantity", [[1], None], pl.List(pl.Int64), [REFUSED, None]),
        ("quantity", [{"a": 1}, None], pl.Struct({"a": pl.Int64}), [REFUSED, None]),
        ("quantity", [b"7", None], pl.Binary, [REFUSED, None]),
        ("quantity", [timedelta(1), None], pl.Duration, [REFUSED, None]),
        ("term_months", [12, 0, 121, None, 2**40], pl.Int64, [12, REFUSED, REFUSED, None, REFUSED]),
        ("is_custom", [True, False, None], pl.Boolean, [True, False, None]),
        ("is_custom", [1, 0, None], pl.Int8, [True, False, None]),
        ("product_id", [42.0, 0.5, float("nan"), 1e300], None, ["42", "0.5", None, "1e+300"]),
        ("product_id", [Decimal("42.00"), Decimal("0.50")], pl.Decimal(9, 2), ["42", "0.50"]),
        ("product_id", [2**64 - 1, 0], pl.UInt64, ["18446744073709551615", "0"]),
        ("product_id", ["a", "b"], pl.Categorical, ["a", "b"]),
        ("product_id", [[1, None], []], pl.List(pl.Int64), ["[1, NULL]", "[]"]),
        ("product_id", [b"\xff\x00", b""], pl.Binary, ["\\xFF\\x00", None]),
    ],
)
def test_values_of_a_parquet_file_are_read_from_any_type(folder, ours, given, kind, held):
    assert typed(folder, ours, *given, kind=kind) == held


def test_flags_and_whole_numbers_are_read_from_text(folder):
    flags = ["true", "FALSE", "1", "0", "Y", "no", "maybe", ""]
    assert values(folder, "is_custom", *flags) == [True, False, True, False, True, False, REFUSED, None]
    assert values(folder, "term_months", "12", "12.0", "a year", "") == [12, 12, REFUSED, None]
    assert values(folder, "quantity", "1.5", "-2", "1e400", "many", "") == [1.5, -2.0, REFUSED, REFUSED, None]


# text


def test_text_loses_the_blanks_around_it_and_is_null_where_empty(folder):
    assert values(folder, "category", " office paper ", "", "  ", '""', "Zoë 🦊") == [
        "office paper",
        None,
        None,
        None,
        "Zoë 🦊",
    ]


def test_names_of_a_kind_are_in_small_letters(folder):
    assert values(folder, "channel", " WEB ", "Shop") == ["web", "shop"]


def test_a_line_that_is_not_named_is_all(folder):
    assert values(folder, "line", "Legal", "", " ") == ["Legal", "all", "all"]
    assert values(folder, "line", "*") == [REFUSED]


def test_an_amount_in_another_currency_is_quarantined(folder):
    csv(
        folder,
        "shop.csv",
        f"{HEADER},money",
        *(f"o{n},1,A,2026-01-05,10,{each}" for n, each in enumerate(["usd", "EUR", ""])),
    )
    found = taken_in(source("shop.csv", ORDERS | {"currency": "money"}))
    assert column(found.orders, "order_id") == ["o0", "o2"]
    assert column(found.quarantine, "reason") == ["currency is not the reporting currency"]


def test_an_account_is_the_same_whether_a_file_keeps_its_id_as_a_number_or_as_text(folder):
    (folder / "in").mkdir()
    common = {"no": [1], "at": [date(2026, 1, 5)], "amount": [10.0]}
    for number, ids in enumerate(([1042], [1042.0], ["1042"], [" 1042 "], [Decimal("1042.00")])):
        pl.DataFrame({"id": [f"o{number}"], "account": ids} | common).write_parquet(f"in/{number}.parquet")
    csv(folder, "in/5.csv", HEADER, "o5,1,1042,2026-01-05,10")
    csv(folder, "in/6.jsonl", '{"id": "o6", "no": 1, "account": 1042, "at": "2026-01-05", "amount": 10}')
    found = taken_in(source("in/*.parquet"), source("in/*.csv", name="till"), source("in/*.jsonl", name="web"))
    assert column(found.orders, "account_id") == ["1042"] * 7


def test_ids_may_hold_any_character_but_nul(folder):
    ids = ["🦊", "a'b", 'a""b', "a\\b", "%", "A\N{NO-BREAK SPACE}B", "x\0y", "é" * 300]
    csv(folder, "shop.csv", HEADER, *(f'o{number},1,"{each}",2026-01-05,10' for number, each in enumerate(ids)))
    found = taken_in(source("shop.csv"))
    assert column(sorted(found.orders, key=lambda row: row["order_id"]), "account_id") == [
        each.replace('""', '"') for each in ids if "\0" not in each
    ]
    assert column(found.quarantine, "reason") == ["account_id holds a NUL character"]


# expressions


@pytest.mark.parametrize(
    ("mapped", "given", "held"),
    [
        ("cast(it as double) * 2", ["3", "x", ""], [6.0, None, None]),
        ("case when it = 'two' then 2 else 1 end", ["two", ""], [2.0, 1.0]),
        ("1 / cast(it as integer)", ["4", "0"], [0.25, None]),
        ("abs(cast(it as bigint))", ["-9223372036854775808", "-5"], [None, 5.0]),
        ("cast(make_date(2024, cast(it as integer), 1) is not null as integer)", ["2", "13"], [1.0, None]),
        ("12", ["x"], [12.0]),
    ],
)
def test_an_expression_that_cannot_be_computed_for_a_row_is_null_for_that_row(folder, mapped, given, held):
    assert values(folder, "quantity", *given, mapped=mapped) == held


def test_a_required_value_that_is_computed_from_what_is_there_is_unreadable_and_not_missing(folder):
    csv(folder, "shop.csv", f"{HEADER},units,price", "o1,1,A,2026-01-05,,2,x", "o2,1,A,2026-01-05,,2,")
    computed = "cast(units as integer) * cast(price as decimal(18, 2))"
    found = taken_in(source("shop.csv", ORDERS | {"amount": computed}))
    assert column(found.quarantine, "reason") == ["amount is unreadable", "amount is missing"]


@pytest.mark.parametrize(
    "mapped", ["amount * 2", "regexp_extract(at, '(')", "date_trunc('nonsense', cast(at as date))"]
)
def test_an_expression_that_does_not_fit_the_file_is_told(folder, mapped):
    csv(folder, "shop.csv", HEADER, "o1,1,Jane Doe,2026-01-05,10")
    with pytest.raises(SourceError) as refused:
        taken_in(source("shop.csv", ORDERS | {"quantity": mapped}))
    told = str(refused.value)
    assert told.startswith(f"orders (source shop), file shop.csv: quantity cannot be read as {mapped} (")
    assert told.endswith(
        "Nothing was read. Correct the expression; CSV and JSON values are text, as are Postgres numerics without fixed "
        "digits, so numbers are written cast(x as decimal(18,2))."
    )
    assert "Jane" not in told


# versions of a row


def versions(folder: Path, *lines: str, header: str = f"{HEADER},version", **mapped: str) -> Ingested:
    csv(folder, "shop.csv", header, *lines)
    return taken_in(source("shop.csv", ORDERS | {"updated_at": "version"} | mapped))


def test_of_two_versions_of_a_row_the_one_updated_later_counts(folder):
    found = versions(
        folder,
        "o1,1,A,2026-01-05,1,2026-01-06",
        "o1,1,A,2026-01-05,3,2026-01-08",
        "o1,1,A,2026-01-05,2,2026-01-07",
        "o1,1,A,2026-01-05,4,",
        "o1,2,A,2026-01-05,5,2026-01-05",
    )
    assert column(found.orders, "amount") == [3, 5]
    assert found.counts == {"shop": (5, 2, 3, 0)}


def test_of_versions_updated_at_once_the_one_delivered_later_counts(folder):
    business = delivered(folder, firm(source("in/*.csv")), 7, 9, 8)
    assert column(ingested(business).orders, "amount") == [8]


def delivered(folder: Path, business: Business, *amounts: int) -> Business:
    """The firm after nights that each brought a file with another amount of one order line; the last has the first name."""
    for number, amount in enumerate(amounts):
        csv(folder, f"in/{9 - number}.csv", HEADER, f"o1,1,A,2026-01-05,{amount}")
        landed(business, NIGHT + timedelta(days=number))
    return business


def test_files_that_are_landed_together_count_in_the_order_of_their_names(folder):
    for number, amount in enumerate((7, 9, 8)):
        csv(folder, f"in/{number}.csv", HEADER, f"o1,1,A,2026-01-05,{amount}")
    assert column(taken_in(source("in/*.csv")).orders, "amount") == [8]


@pytest.mark.parametrize("gone", [[], ["in/7.csv"]])
def test_what_is_landed_again_comes_no_later_for_that(folder, gone):
    business = delivered(folder, firm(source("in/*.csv")), 9, 7, 8)
    for name in gone:
        (folder / name).unlink()
    assert len(landed(business, NIGHT + timedelta(days=9), again=True)) == 3 - len(gone)
    assert column(ingested(business).orders, "amount") == [8]
    csv(folder, "in/8.csv", HEADER, "o1,1,A,2026-01-05,6")
    landed(business, NIGHT + timedelta(days=10))
    assert column(ingested(business).orders, "amount") == [6]


def test_another_lookup_makes_no_file_a_later_one(folder):
    csv(folder, "who.csv", "account,who", "A,h1")
    lookup = {"path": "who.csv", "on": ["account"]}
    business = delivered(folder, firm(source("in/*.csv", ORDERS | {"handler": "who"}, lookups=[lookup])), 9, 8)
    csv(folder, "who.csv", "account,who", "A,h2")
    assert len(landed(business, NIGHT + timedelta(days=9))) == 2
    assert column(ingested(business).orders, "amount", "handler") == [(8, "h2")]


def test_an_order_dated_ahead_is_refused_however_late_it_is_landed_again(folder):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-20,1")
    business = firm(source("shop.csv"))
    landed(business)
    landed(business, NIGHT + timedelta(days=30), again=True)
    assert column(ingested(business).quarantine, "reason") == [
        "ordered_at is later than the day after it was delivered"
    ]


def test_of_versions_delivered_at_once_the_one_with_the_greater_values_counts_whatever_their_order(folder):
    rows = ["o1,1,A,2026-01-05,5", "o1,1,A,2026-01-06,5", "o1,1,C,2026-01-07,4"]
    found = []
    for order in itertools.permutations(rows):
        csv(folder, "shop.csv", HEADER, *order)
        orders = taken_in(source("shop.csv"), state=f"state{len(found)}").orders
        found.append(column(orders, "account_id", "ordered_on", "amount"))
    assert found == [[("A", date(2026, 1, 6), 5)]] * 6


def test_an_unfit_version_takes_the_place_of_no_fit_one(folder):
    found = versions(folder, "o1,1,A,2026-01-05,1,2026-01-06", "o1,1,A,2026-01-05,x,2026-01-08")
    assert (column(found.orders, "amount"), found.counts) == ([1], {"shop": (2, 1, 0, 1)})


def test_rows_of_two_sources_are_never_versions_of_each_other(folder):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-05,1")
    csv(folder, "till.csv", HEADER, "o1,1,A,2026-01-05,1")
    found = taken_in(source("shop.csv"), source("till.csv", name="till"))
    assert found.counts == {"shop": (1, 1, 0, 0), "till": (1, 1, 0, 0)}


def test_events_have_versions_as_order_lines_have(folder):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-05,1")
    csv(
        folder,
        "mail.csv",
        f"{MAIL},version",
        *(f"e1,A,2026-01-05,{kind},inbound,{day}" for kind, day in (("call", 7), ("email", 8))),
    )
    mail = source("mail.csv", EVENTS | {"updated_at": "concat('2026-01-0', version)"}, "mail")
    found = taken_in(source("shop.csv"), engagements=[mail])
    assert column(found.engagements, "kind") == ["email"]


# rows without a key of their own


CONTENT = {name: mapped for name, mapped in ORDERS.items() if name != "line_number"}


def test_without_a_key_exact_duplicates_fall_together_and_rows_that_differ_anywhere_do_not(folder):
    csv(
        folder,
        "shop.csv",
        f"{HEADER},note",
        *("o1,1,A,2026-01-05,1,x", "o1,1,A,2026-01-05,1,x", "o1,1,A,2026-01-05,1,y"),
    )
    assert taken_in(source("shop.csv", CONTENT)).counts == {"shop": (3, 2, 1, 0)}


def test_duplicates_fall_together_across_files_whatever_the_order_of_their_columns(folder):
    csv(folder, "in/a.csv", "id,account,at,amount", "o1,A,2026-01-05,1")
    csv(folder, "in/b.csv", "amount;At;note;account;id", "1;2026-01-05;;A;o1")
    assert taken_in(source("in/*.csv", CONTENT)).counts == {"shop": (2, 1, 1, 0)}


@pytest.mark.parametrize(
    ("kind", "other", "amount"),
    [
        (pl.Int64, pl.Float64, "7"),
        (pl.Int64, pl.Decimal(10, 2), "7"),
        (pl.Float64, pl.Decimal(10, 2), "7.5"),
        (pl.String, pl.Decimal(10, 2), "7.5"),
    ],
)
def test_a_number_reads_the_same_whatever_type_another_file_keeps_it_in(folder, kind, other, amount):
    row = {
        "id": ["o1"],
        "account": "A",
        "at": date(2026, 1, 5),
        "amount": pl.Series([amount]),
        "quantity": pl.Series([amount]),
    }
    for name, type_ in (("a", kind), ("b", other)):
        pl.DataFrame(row).with_columns(pl.col("amount", "quantity").cast(type_)).write_parquet(f"{name}.parquet")
    assert taken_in(source("*.parquet", CONTENT)).counts == {"shop": (2, 1, 1, 0)}


def test_values_that_moved_to_another_column_make_another_row(folder):
    csv(folder, "shop.csv", "id,account,at,amount,note,memo", "o1,A,2026-01-05,1,x,", "o1,A,2026-01-05,1,,x")
    assert taken_in(source("shop.csv", CONTENT)).counts == {"shop": (2, 2, 0, 0)}


@pytest.mark.parametrize("missing", ["", "  "])
def test_a_row_that_lacks_its_key_is_known_by_its_content(folder, missing):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-05,1")
    lines = [f"{missing},A,2026-01-05,call,inbound", f"{missing},A,2026-01-06,call,inbound"]
    csv(folder, "mail.csv", MAIL, *lines, lines[0], "e1,A,2026-01-05,call,inbound")
    found = taken_in(source("shop.csv"), engagements=[source("mail.csv", EVENTS, "mail")])
    assert found.counts["mail"] == (4, 3, 1, 0)


def test_a_key_that_is_not_a_number_in_a_float_column_is_missing(folder):
    common = {"account": "A", "at": [date(2026, 1, 5), date(2026, 1, 6)], "amount": 1.0, "id": "o1"}
    pl.DataFrame(common | {"no": [float("nan"), float("nan")]}).write_parquet("shop.parquet")
    assert taken_in(source("shop.parquet")).counts == {"shop": (2, 2, 0, 0)}


@pytest.mark.parametrize("given", [("1", "Jane Doe", "7"), ("Jane Doe", "1", "7")])
def test_what_cannot_be_computed_of_one_row_is_empty_in_that_row_alone(folder, given):
    expected = {"1": True, "Jane Doe": None, "7": False}
    assert values(folder, "is_recurring", *given, mapped="it in (1, 2)") == [expected[each] for each in given]


@pytest.mark.parametrize("key", [None, "at"])
def test_a_landed_file_whose_rows_had_another_key_is_refused(folder, key):
    csv(folder, "old.csv", HEADER, "o1,1,A,2026-01-05,1", "o1,2,A,2026-01-05,2")
    csv(folder, "new.csv", HEADER, "o2,1,A,2026-01-05,1", "o2,2,A,2026-01-05,2")
    landed(firm(source("*.csv")))
    columns = {ours: theirs for ours, theirs in (ORDERS | {"line_number": key}).items() if theirs}
    business = firm(source("*.csv", columns))
    (folder / "old.csv").unlink()
    landed(business, NIGHT + timedelta(days=1))
    told = (
        r"file old.csv: it was landed on 2026-01-15 with line_number read as no, which the mapping no longer says; its rows "
        r"cannot be told apart otherwise\. Nothing was published\."
    )
    with pytest.raises(SourceError, match=told):
        ingested(business)


# the quarantine


def test_a_refused_row_is_kept_as_it_was_read_with_its_reason_and_place(folder):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-05,1", 'o2,1,"A ""B"" C",,x', "o3,1", "o4,1,A,2026-01-05,1,2")
    business = firm(source("shop.csv"))
    [batch] = landed(business)
    found = ingested(business).quarantine
    assert column(found, "source", "batch", "position", "reason") == [
        ("shop", batch.batch, 1, "amount is unreadable"),
        ("shop", batch.batch, 2, "the line cannot be read: Expected Number of Columns: 5 Found: 2"),
        ("shop", batch.batch, 3, "the line cannot be read: Expected Number of Columns: 5 Found: 6"),
    ]
    assert [json.loads(each) for each in column(found, "row_json")] == [
        {"account": 'A "B" C', "amount": "x", "at": None, "id": "o2", "no": "1"},
        {"line": 4, "text": "o3,1"},
        {"line": 5, "text": "o4,1,A,2026-01-05,1,2"},
    ]


def test_rows_of_all_files_are_kept_whatever_columns_each_has(folder):
    csv(folder, "in/a.csv", HEADER, "o1,1,,2026-01-05,1", "broken")
    csv(folder, "in/b.csv", f"{HEADER},net", "o2,1,,2026-01-05,1,2")
    csv(folder, "in/c.csv", HEADER, "o3,1,A,2026-01-05,1")
    csv(folder, "in/d.csv", HEADER, "o4,1,,2026-01-05,1", "also broken")
    csv(folder, "mail.csv", MAIL, "e1,,2026-01-05,call,inbound")
    shop = source("in/*.csv", ORDERS | {"quantity": ["net", "no"]})
    found = taken_in(shop, engagements=[source("mail.csv", EVENTS, "mail")])
    assert found.counts == {"shop": (6, 1, 0, 5), "mail": (1, 0, 0, 1)}
    kept = [json.loads(each) for each in column(found.quarantine, "row_json")]
    assert sorted(row.get("id") or row["text"] for row in kept) == ["also broken", "broken", "e1", "o1", "o2", "o4"]
    assert len({(row["batch"], row["position"]) for row in found.quarantine}) == 6


def test_lines_that_cannot_be_read_count_as_unfit(folder):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-05,1", "broken", "also broken")
    assert taken_in(source("shop.csv")).counts == {"shop": (3, 1, 0, 2)}


def test_a_firm_without_engagements_has_none(folder):
    csv(folder, "shop.csv", HEADER, "o1,1,A,2026-01-05,1")
    found = taken_in(source("shop.csv"))
    assert (found.engagements, found.counts) == ([], {"shop": (1, 1, 0, 0)})


# nothing depends on how the rows are laid out


ROWS = [
    *(f"o{number % 30},{number % 3},A{number % 7},2026-01-{1 + number % 14:02},{number}.50" for number in range(80)),
    *("o1,1,,2026-01-05,1", "o2,1,A,soon,1", "o3,1,A,2026-01-05,lots"),
]


def without_places(found: Ingested) -> tuple[Any, ...]:
    quarantine = sorted(column(found.quarantine, "reason", "row_json"))
    return found.orders, quarantine, found.counts


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_the_files_that_orders_are_in_change_nothing(folder, seed):
    csv(folder, "whole/0.csv", HEADER, *ROWS)
    whole = taken_in(source("whole/*.csv"), state="whole.state")
    shuffled = random.Random(seed).sample(ROWS, len(ROWS))
    for part in range(3):
        csv(folder, f"parts/{part}.csv", HEADER, *(row for row in shuffled if int(row[1:].split(",")[0]) % 3 == part))
    assert without_places(taken_in(source("parts/*.csv"), state="parts.state")) == without_places(whole)


def test_exact_duplicates_change_nothing_but_their_count(folder):
    csv(folder, "once/0.csv", HEADER, *ROWS)
    csv(folder, "twice/0.csv", HEADER, *ROWS, *ROWS[:80])
    once = taken_in(source("once/*.csv"), state="once.state")
    twice = taken_in(source("twice/*.csv"), state="twice.state")
    assert twice.orders == once.orders
    read, accepted, superseded, quarantined = once.counts["shop"]
    assert twice.counts == {"shop": (read + 80, accepted, superseded + 80, quarantined)}


def test_hundreds_of_files_are_one_source(folder):
    for number in range(150):
        csv(folder, f"in/{number}.csv", HEADER, f"o{number},1,A,2026-01-05,1")
    assert taken_in(source("in/*.csv")).counts == {"shop": (150, 150, 0, 0)}


# whatever comes in


# a night takes some ten milliseconds
SOME = settings(max_examples=settings().max_examples // 3)


CELLS = st.sampled_from(
    [
        "",
        " ",
        "A",
        "o1",
        "1",
        "-5",
        "1e30",
        "NaN",
        "inf",
        "0.1",
        "1,5",
        '"',
        '"x',
        "🦊",
        "\x00",
        "\x1f",
        "é",
        "2026-01-05",
        "2026-01-05 10:00:00+99:99",
        "0001-01-01",
        "9999-12-31",
        "294247-01-10 04:00:54",
        "infinity",
        "true",
        "NULL",
        "2026-03-08 02:30",
        "<p>",
        "{}",
        "[1",
        "'",
        "\\",
        ";",
        "\t",
        "\r",
        "\n",
        "\r\n",
        "call",
        "inbound",
        "*",
        "USD",
    ]
)
TEXTS = st.lists(st.lists(CELLS, max_size=7).map(",".join), max_size=6).map("\n".join)
BYTES = st.one_of(TEXTS.map(str.encode), TEXTS.map(lambda text: text.encode("utf-16")), st.binary(max_size=60))
COMPUTED = {
    "order_id": "id",
    "account_id": ["trim(account)", "id"],
    "ordered_at": "at",
    "amount": "amount",
    "quantity": "cast(amount as bigint) * cast(amount as bigint)",
    "term_months": "cast(no as integer)",
    "updated_at": "try_strptime(at, '%d.%m.%Y')",
    "is_custom": "no",
    "currency": "coalesce(nullif(no, ''), 'USD')",
}


def refused_or_balanced(name: str, content: bytes, columns: dict[str, Any], tmp: Path) -> None:
    """A file comes in as rows that balance, or is refused with a sentence; nothing else may happen."""
    (tmp / name).write_bytes(content)
    try:
        found = taken_in(source(str(tmp / name), columns), state=str(tmp / "state"))
    except RapportError as error:
        assert str(error).startswith("orders (source shop)")
        assert str(error).endswith((".", "?"))
    else:
        [(read, accepted, superseded, quarantined)] = found.counts.values()
        assert (accepted, quarantined) == (len(found.orders), len(found.quarantine))
        assert read == accepted + superseded + quarantined


@SOME
@given(BYTES, st.sampled_from([ORDERS, COMPUTED]), st.sampled_from(["shop.csv", "shop.json"]), st.booleans())
def test_any_text_is_refused_with_a_sentence_or_comes_in_balanced(content, columns, name, has_header):
    header = f"{HEADER}\n".encode() if has_header else b""
    with tempfile.TemporaryDirectory() as tmp:
        refused_or_balanced(name, header + content, columns, Path(tmp))


MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
KINDS: dict[Any, st.SearchStrategy] = {
    pl.Float64: st.floats(),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.String: CELLS,
    pl.Datetime("us"): MOMENTS,
    pl.Datetime("us", "UTC"): MOMENTS,
    pl.Date: st.dates(),
    pl.Time: st.times(),
    pl.Boolean: st.booleans(),
    pl.Binary: st.binary(max_size=4),
    pl.Decimal(38, 2): st.decimals(-(10**35), 10**35, places=2),
    pl.List(pl.Int64): st.lists(st.integers(0, 9), max_size=2),
    pl.Null: st.none(),
}
SERIES = st.sampled_from(list(KINDS)).flatmap(
    lambda kind: st.lists(st.none() | KINDS[kind], min_size=3, max_size=3).map(
        lambda each: pl.Series(each, dtype=kind, strict=False)
    )
)


@SOME
@given(st.fixed_dictionaries(dict.fromkeys(HEADER.split(","), SERIES)), st.sampled_from([ORDERS, COMPUTED]))
def test_a_parquet_file_of_any_types_is_refused_with_a_sentence_or_comes_in_balanced(columns, mapping):
    with tempfile.TemporaryDirectory() as tmp:
        pl.DataFrame(columns).write_parquet(Path(tmp, "any.parquet"))
        refused_or_balanced("shop.parquet", Path(tmp, "any.parquet").read_bytes(), mapping, Path(tmp))
