"""The dialect, held to hand-written SQL: what each expectation in use counts, on DuckDB itself."""

from datetime import date
from typing import Any

import duckdb
import pytest

from config.expectations import account_features, account_segments, incoming, segment_summary
from flows.gx_duckdb import validate

ODD = '50% of "Qualify" :x ?'
ODD_QUOTED = '"50% of ""Qualify"" :x ?"'
ROWS = 5000
SELECT = f"""
    select
        case when i % 7 > 0 then 'a' || (i % 40) end as text,
        case when i % 11 > 0 then (i % 23) - 5 end as number,
        case when i % 13 > 0 then case when i % 17 = 0 then 'nan'::double else i % 9 end end as measure,
        case when i % 5 > 0 then date '2025-12-25' + cast(i % 21 as integer) end as day,
        case when i % 3 > 0 then date '2026-01-01' + cast(i % 4 as integer) end as limit_day,
        case when i % 19 = 0 then 'b' || chr(0) when i % 2 = 0 then ',amount,score,' else '' end as "pivot",
        cast(i % 6 as decimal(18, 4)) as {ODD_QUOTED}
    from range({ROWS}) as numbers (i)
"""


def check(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": "critical"}


def strictly(low: float, high: float) -> dict[str, Any]:
    return {"min_value": low, "max_value": high, "strict_min": True, "strict_max": True}


PAIR = {"column_A": "limit_day", "column_B": "day", "ignore_row_if": "either_value_is_missing"}
BOTH_DAYS = "limit_day is not null and day is not null"

# The expectation, SQL that is true for an unexpected row, and SQL that is true for a row it judges.
BY_ROW = [
    (check("expect_column_values_to_not_be_null", column="text"), "text is null", "true"),
    (check("expect_column_values_to_not_be_null", column=ODD), "false", "true"),
    (check("expect_column_values_to_be_null", column="text"), "text is not null", "true"),
    (
        check("expect_column_values_to_be_in_set", column="text", value_set=["a1", "a2", "A3", "%"]),
        "text not in ('a1', 'a2')",
        "text is not null",
    ),
    (
        check("expect_column_values_to_be_in_set", column="day", value_set=["2026-01-01"]),
        "day <> date '2026-01-01'",
        "day is not null",
    ),
    (
        check("expect_column_values_to_not_be_in_set", column="text", value_set=["a1", ""]),
        "text = 'a1'",
        "text is not null",
    ),
    (
        check("expect_column_values_to_not_match_regex", column="pivot", regex=",score,"),
        "\"pivot\" = ',amount,score,'",
        "true",
    ),
    (
        check("expect_column_values_to_not_match_like_pattern", column="pivot", like_pattern="%\0%"),
        "starts_with(\"pivot\", 'b')",
        "true",
    ),
    (
        check("expect_column_value_lengths_to_be_between", column="text", min_value=2),
        "length(text) < 2",
        "text is not null",
    ),
    (
        check("expect_column_values_to_be_between", column="number", min_value=0, max_value=10),
        "number < 0 or number > 10",
        "number is not null",
    ),
    (
        check("expect_column_values_to_be_between", column=ODD, **strictly(0, 4)),
        f"{ODD_QUOTED} in (0, 4, 5)",
        "true",
    ),
    (
        check("expect_column_values_to_be_between", column="measure", min_value=0, max_value=8),
        "isnan(measure)",
        "measure is not null",
    ),
    (
        check("expect_column_values_to_be_between", column="day", min_value="2026-01-01"),
        "day < date '2026-01-01'",
        "day is not null",
    ),
    (check("expect_column_pair_values_to_be_equal", **PAIR), "limit_day <> day", BOTH_DAYS),
    (
        check("expect_column_pair_values_a_to_be_greater_than_b", **PAIR, or_equal=True),
        "day > limit_day",
        BOTH_DAYS,
    ),
]

ROW_COUNT = check("expect_table_row_count_to_be_between", min_value=1)
CUSTOM_SQL = [
    ("select 1 from {batch} where number % 2 = 1", "select count(*) from t where number % 2 = 1"),
    (
        "select 1 from {batch} where text like 'a1%' or text = '?'",
        "select count(*) from t where starts_with(text, 'a1')",
    ),
    (
        "select 1 from {batch} group by text, number having count(*) > 18",
        "select count(*) from (select 1 from t group by text, number having count(*) > 18)",
    ),
    (
        "with days as (select day from t) select 1 from {batch} as t full join days using (day) where t.text = 'a3'",
        "select count(*) from t left join t as days using (day) where t.text = 'a3'",
    ),
]


@pytest.fixture(params=["create table t as", "create temp table t as", "create view t as"])
def con(request) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(f"{request.param} {SELECT}")
    return con


@pytest.fixture
def temporary() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(f"create temp table t as {SELECT}")
    return con


def number(con: duckdb.DuckDBPyConnection, query: str) -> Any:
    return con.execute(query).fetchall()[0][0]


def test_checks_by_row_count_what_sql_counts(con):
    results = validate(con, "t", [expectation for expectation, _, _ in BY_ROW])
    counted = [
        (results[place]["result"]["unexpected_count"], results[place]["success"]) for place in range(len(BY_ROW))
    ]
    by_sql = [number(con, f"select count(*) from t where {unexpected}") for _, unexpected, _ in BY_ROW]
    assert counted == [(count, count == 0) for count in by_sql]
    assert 0 < sum(count > 0 for count in by_sql) < len(by_sql), "some pass and some fail"


def test_percentages_are_of_the_rows_judged(con):
    results = validate(con, "t", [expectation for expectation, _, _ in BY_ROW])
    percentages = [results[place]["result"]["unexpected_percent"] for place in range(len(BY_ROW))]
    by_sql = [
        number(con, f"select 100 * count(*) filter (where {unexpected}) / count(*) from t where {judged}")
        for _, unexpected, judged in BY_ROW
    ]
    assert percentages == pytest.approx(by_sql)


@pytest.mark.parametrize(("expectation", "unexpected", "judged"), BY_ROW)
def test_mostly_is_the_least_share_of_good_rows_among_those_judged(temporary, expectation, unexpected, judged):
    good = number(temporary, f"select count(*) filter (where not ({unexpected})) / count(*) from t where {judged}")
    stricter = {**expectation, "kwargs": expectation["kwargs"] | {"mostly": min(1, good + 1e-6)}}
    laxer = {**expectation, "kwargs": expectation["kwargs"] | {"mostly": good - 1e-6}}
    results = validate(temporary, "t", [stricter, laxer])
    assert (results[0]["success"], results[1]["success"]) == (good == 1, True)


def test_the_row_count_is_that_of_the_table(con):
    assert validate(con, "t", [ROW_COUNT])[0]["result"] == {"observed_value": ROWS}


@pytest.mark.parametrize(("query", "by_sql"), CUSTOM_SQL)
def test_custom_sql_counts_the_rows_it_returns(con, query, by_sql):
    result = validate(con, "t", [check("expect_query_to_find_no_rows", unexpected_rows_query=query)])[0]
    assert result["result"] == {"observed_value": number(con, by_sql)}
    assert result["result"]["observed_value"] > 0 and not result["success"]


def test_every_type_of_expectation_in_use_is_held_to_sql_here():
    suites = [
        incoming("checked_orders", 0.2, 1),
        incoming("checked_engagements", 0.2, 1),
        account_segments("run", date(2026, 3, 1)),
        account_features(date(2026, 3, 1)),
        segment_summary(date(2026, 3, 1)),
    ]
    in_use = {each.expectation for suite in suites for each in suite}
    held = {expectation["type"] for expectation, _, _ in BY_ROW}
    assert in_use == held | {ROW_COUNT["type"], "expect_query_to_find_no_rows"}


def test_column_types_go_by_their_names_in_duckdb(con):
    text = check("expect_column_values_to_be_of_type", column="text", type_="VARCHAR")
    money = check("expect_column_values_to_be_of_type", column=ODD, type_="DECIMAL(18,4)")
    float_ = check("expect_column_values_to_be_of_type", column=ODD, type_="DOUBLE")
    results = validate(con, "t", [text, money, float_])
    assert [results[place]["success"] for place in range(3)] == [True, True, False]


def test_results_hold_no_value_of_the_table(temporary):
    results = validate(temporary, "t", [expectation for expectation, _, _ in BY_ROW])
    samples = [value for result in results.values() for value in result["result"].values() if isinstance(value, list)]
    assert [sample for sample in samples if sample] == []


def test_custom_sql_is_run_once_and_only_counted(temporary):
    temporary.execute("call enable_logging('QueryLog')")
    everything = check("expect_query_to_find_no_rows", unexpected_rows_query="select text from {batch}")
    assert validate(temporary, "t", [everything])[0]["result"] == {"observed_value": ROWS}
    queries = [message for (message,) in temporary.execute("select message from duckdb_logs").fetchall()]
    assert [query[:15].lower() for query in queries if "select text from" in query] == ["select count(*)"]


@pytest.fixture
def ledger(tmp_path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(tmp_path / "ledger.duckdb")
    con.execute("create table t (number integer)")
    con.execute("insert into t values (1)")
    return con


FAILING = check("expect_column_values_to_be_between", column="number", min_value=5)


def test_the_owner_of_a_transaction_can_still_take_it_back(ledger):
    ledger.begin()
    ledger.execute("insert into t values (2)")
    assert validate(ledger, "t", [FAILING])[0]["result"]["unexpected_count"] == 2
    ledger.rollback()
    assert ledger.sql("from t").fetchall() == [(1,)]


def test_the_owner_of_a_transaction_can_still_commit_it(ledger):
    reader = ledger.cursor()
    ledger.begin()
    ledger.execute("insert into t values (2)")
    validate(ledger, "t", [FAILING])
    assert reader.execute("select count(*) from t").fetchall() == [(1,)], "not committed by the checks"
    ledger.commit()
    assert reader.execute("select count(*) from t").fetchall() == [(2,)]


def test_no_transaction_is_left_open(ledger):
    validate(ledger, "t", [FAILING, check("expect_column_values_to_not_be_null", column="no_such_column")])
    ledger.begin()
    ledger.commit()
    assert ledger.sql("from t").fetchall() == [(1,)]
