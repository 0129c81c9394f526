"""Rules: the predicate and the expectation of each refuse the same rows, and ordinary rows pass."""

from datetime import date, datetime
from typing import Any

import duckdb
import pytest
import sqlglot

from config.expectations import Check, incoming
from config.rules import RULES, IncomingTable
from config.tables import ENGAGEMENTS, ORDERS, Table
from flows.audits import audit

ORDINARY: dict[IncomingTable, dict[str, Any]] = {
    "checked_orders": {
        "order_id": "A17",
        "account_id": "C3",
        "line": "all",
        "ordered_at": datetime(2026, 3, 1, 18, 30),
        "ordered_on": date(2026, 3, 1),
        "amount": 120,
        "delivered_at": datetime(2026, 3, 2, 2, 0),
        "unreadable": "",
        "reporting_currency": "USD",
    },
    "checked_engagements": {
        "account_id": "C3",
        "line": "all",
        "occurred_at": datetime(2026, 3, 1, 18, 30),
        "occurred_on": date(2026, 3, 1),
        "kind": "meeting",
        "direction": "mutual",
        "delivered_at": datetime(2026, 3, 2, 2, 0),
        "unreadable": "",
    },
}

FIT: dict[IncomingTable, list[dict[str, Any]]] = {
    "checked_orders": [
        {},
        {"amount": 0},
        {"amount": "999999999.9999"},
        {"amount": "-999999999.9999"},
        {"quantity": 0, "term_months": 1, "currency": "USD"},
        {"term_months": 120, "quantity": -2},
        {"ordered_on": date(1900, 1, 1)},
        {"ordered_on": date(2026, 3, 3)},
        {"line": "**", "order_id": "50% _off_", "account_id": " "},
        {"line": None, "line_number": "*"},
    ],
    "checked_engagements": [
        {},
        {"score": 0, "minutes": 0},
        {"score": 1, "minutes": 366 * 24 * 60},
        {"occurred_on": date(1900, 1, 1)},
        {"occurred_on": date(2026, 3, 3)},
        {"kind": "design_review", "direction": "inbound"},
        {"event_id": "", "line": None},
    ],
}

NAN, INFINITY = float("nan"), float("inf")

UNFIT: dict[IncomingTable, list[tuple[str, dict[str, Any]]]] = {
    "checked_orders": [
        ("ordered_at is unreadable", {"unreadable": ",ordered_at,", "ordered_at": None, "ordered_on": None}),
        ("amount is unreadable", {"unreadable": ",amount,", "amount": None}),
        ("amount is unreadable", {"unreadable": ",amount,is_service,", "amount": None}),
        ("quantity is unreadable", {"unreadable": ",quantity,"}),
        ("list_amount is unreadable", {"unreadable": ",list_amount,"}),
        ("is_custom is unreadable", {"unreadable": ",is_custom,"}),
        ("is_recurring is unreadable", {"unreadable": ",is_recurring,"}),
        ("is_service is unreadable", {"unreadable": ",is_service,"}),
        ("term_months is unreadable", {"unreadable": ",term_months,"}),
        ("updated_at is unreadable", {"unreadable": ",updated_at,"}),
        ("order_id is missing", {"order_id": None}),
        ("account_id is missing", {"account_id": None}),
        ("ordered_at is missing", {"ordered_at": None, "ordered_on": None}),
        ("amount is missing", {"amount": None}),
        ("order_id is missing", {"order_id": ""}),
        ("account_id is missing", {"account_id": ""}),
        ("order_id holds a NUL character", {"order_id": "A\0"}),
        ("account_id holds a NUL character", {"account_id": "\0"}),
        ("line holds a NUL character", {"line": "a\0b"}),
        ("account_id is longer than 300 characters", {"account_id": "é" * 301}),
        ("line is longer than 300 characters", {"line": "l" * 301}),
        ("ordered_at is before 1900", {"ordered_on": date(1899, 12, 31)}),
        ("ordered_at is later than the day after it was delivered", {"ordered_on": date(2026, 3, 4)}),
        ("amount is out of range", {"amount": 1_000_000_000}),
        ("amount is out of range", {"amount": -1_000_000_000}),
        ("quantity is out of range", {"quantity": 1e9}),
        ("quantity is out of range", {"quantity": -1e9}),
        ("quantity is out of range", {"quantity": NAN}),
        ("quantity is out of range", {"quantity": -INFINITY}),
        ("term_months is out of range", {"term_months": 0}),
        ("term_months is out of range", {"term_months": 121}),
        ("currency is not the reporting currency", {"currency": "EUR"}),
        ("line is *, which is reserved", {"line": "*"}),
    ],
    "checked_engagements": [
        (
            "occurred_at is unreadable",
            {"unreadable": ",occurred_at,", "occurred_at": None, "occurred_on": None},
        ),
        ("minutes is unreadable", {"unreadable": ",minutes,"}),
        ("score is unreadable", {"unreadable": ",minutes2,score,"}),
        ("is_bulk is unreadable", {"unreadable": ",is_bulk,"}),
        ("updated_at is unreadable", {"unreadable": ",updated_at,"}),
        ("account_id is missing", {"account_id": None}),
        ("occurred_at is missing", {"occurred_at": None, "occurred_on": None}),
        ("kind is missing", {"kind": None}),
        ("direction is missing", {"direction": None}),
        ("account_id is missing", {"account_id": ""}),
        ("event_id holds a NUL character", {"event_id": "\0"}),
        ("account_id holds a NUL character", {"account_id": "C3\0"}),
        ("line holds a NUL character", {"line": "\0*"}),
        ("account_id is longer than 300 characters", {"account_id": "a" * 301}),
        ("line is longer than 300 characters", {"line": "é" * 301}),
        ("occurred_at is before 1900", {"occurred_on": date(1, 1, 1)}),
        ("occurred_at is later than the day after it was delivered", {"occurred_on": date(2026, 3, 4)}),
        ("kind is not one of those known", {"kind": "Meeting"}),
        ("kind is not one of those known", {"kind": ""}),
        ("direction is not one of those known", {"direction": "both"}),
        ("minutes is out of range", {"minutes": -0.5}),
        ("minutes is out of range", {"minutes": 366 * 24 * 60 + 1}),
        ("minutes is out of range", {"minutes": NAN}),
        ("minutes is out of range", {"minutes": INFINITY}),
        ("score is out of range", {"score": -0.01}),
        ("score is out of range", {"score": 1.01}),
        ("score is out of range", {"score": NAN}),
        ("line is *, which is reserved", {"line": "*"}),
    ],
}

CONFORMED: dict[IncomingTable, Table] = {"checked_orders": ORDERS, "checked_engagements": ENGAGEMENTS}
DAY: dict[IncomingTable, str] = {"checked_orders": "ordered_on", "checked_engagements": "occurred_on"}


def loaded(table: IncomingTable, changes: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A connection whose temporary table holds the ordinary row once with each of the changes."""
    con = duckdb.connect(config={"threads": 2})
    conformed = ", ".join(f"{column.name} {column.type}" for column in CONFORMED[table])
    currency = ", reporting_currency varchar" * (table == "checked_orders")
    con.execute(
        f"create temp table incoming ({conformed}, {DAY[table]} date, delivered_at timestamp, unreadable varchar,"
        f" position bigint{currency})"
    )
    for position, change in enumerate(changes):
        row = ORDINARY[table] | change | {"position": position}
        con.execute(f"insert into incoming by name select {', '.join(f'${k} as {k}' for k in row)}", row)
    cases = " ".join(f"when {rule.predicate} then '{rule.reason}'" for rule in RULES[table])
    con.execute(
        f"create temp table {table} as select *, cast(delivered_at as date) + 1 as latest_on,"
        f" case {cases} end as reason from incoming"
    )
    return con


def reasons(con: duckdb.DuckDBPyConnection, table: IncomingTable) -> list[str | None]:
    return [reason for (reason,) in con.execute(f"select reason from {table} order by position").fetchall()]


def each_rule() -> list[Any]:
    return [
        pytest.param(table, rule, id=f"{table}-{rule.predicate}".replace("\0", ""))
        for table, rules in RULES.items()
        for rule in rules
    ]


@pytest.fixture(scope="module")
def every_row() -> dict[IncomingTable, duckdb.DuckDBPyConnection]:
    return {table: loaded(table, FIT[table] + [change for _, change in UNFIT[table]]) for table in RULES}


@pytest.fixture(scope="module")
def counted(every_row) -> dict[tuple[IncomingTable, str], int | None]:
    """What Great Expectations counts for each rule, on all rows."""
    counts: dict[tuple[IncomingTable, str], int | None] = {}
    for table, rules in RULES.items():
        checks = [Check(rule.expectation, rule.kwargs, "critical", rule.reason) for rule in rules]
        results = audit(every_row[table], table, checks).checks
        counts |= {(table, rule.predicate): result.unexpected for rule, result in zip(rules, results, strict=True)}
    return counts


@pytest.mark.parametrize(("table", "rule"), each_rule())
def test_the_predicate_and_the_expectation_of_a_rule_count_the_same_rows(table, rule, every_row, counted):
    query = f"select count(*) from {table} where {rule.predicate}"
    by_sql = every_row[table].execute(query).fetchall()[0][0]
    assert by_sql > 0, "no row of this test breaks the rule"
    assert counted[table, rule.predicate] == by_sql


@pytest.mark.parametrize("table", RULES)
def test_an_ordinary_row_breaks_no_rule(table):
    assert reasons(loaded(table, FIT[table]), table) == [None] * len(FIT[table])


@pytest.mark.parametrize("table", RULES)
def test_an_unfit_row_is_refused_for_the_first_rule_it_breaks(table):
    con = loaded(table, [change for _, change in UNFIT[table]])
    assert reasons(con, table) == [reason for reason, _ in UNFIT[table]]


@pytest.mark.parametrize("table", RULES)
def test_every_reason_is_given_to_some_row(table):
    refused = {reason for reason, _ in UNFIT[table]}
    assert refused == {rule.reason for rule in RULES[table]}


@pytest.mark.parametrize(("table", "rule"), each_rule())
def test_a_predicate_can_be_said_in_the_sql_of_spark(table, rule):
    raising = sqlglot.ErrorLevel.RAISE
    assert sqlglot.transpile(rule.predicate, read="duckdb", write="spark", unsupported_level=raising)


@pytest.mark.parametrize(("table", "rule"), each_rule())
def test_a_reason_can_stand_in_sql_and_in_a_sentence_as_it_is(table, rule):
    assert not set("'{}") & set(rule.reason)


@pytest.mark.parametrize("table", RULES)
def test_a_suite_passes_ordinary_rows(table):
    results = audit(loaded(table, FIT[table]), table, incoming(table, 0.0, len(FIT[table]))).checks
    assert [result.sentence for result in results if result.outcome != "passed"] == []


def missing_accounts(missing: int, rows: int) -> duckdb.DuckDBPyConnection:
    return loaded("checked_orders", [{"account_id": None}] * missing + [{}] * (rows - missing))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.7])
def test_rules_may_refuse_the_quarantined_share_but_not_one_row_more(share):
    suite = incoming("checked_orders", share, 20)
    at_limit = audit(missing_accounts(round(share * 20), 20), "checked_orders", suite)
    beyond = audit(missing_accounts(round(share * 20) + 1, 20), "checked_orders", suite)
    assert at_limit.not_passed("critical") == ()
    assert len(beyond.not_passed("critical")) == 2  # the rule alone, and all rules together


def test_rows_of_before_count_too():
    at_limit = incoming("checked_orders", 0.2, 3, kept_rows=7, kept_unfit=1)
    assert audit(missing_accounts(1, 3), "checked_orders", at_limit).not_passed("critical") == ()
    beyond = audit(missing_accounts(2, 3), "checked_orders", at_limit).not_passed("critical")
    assert [result.sentence for result in beyond] == [
        f"{what} in 2 of 3 checked rows (66.67%); the limit is 20% of all rows, and of the 7 of before 1 are unfit"
        for what in ("some rule is broken", "account_id is missing")
    ]
    too_many = incoming("checked_orders", 0.2, 1, kept_rows=20, kept_unfit=5)
    [refused] = audit(missing_accounts(0, 1), "checked_orders", too_many).not_passed("critical")
    assert refused.unexpected == 0


@pytest.mark.parametrize(("share", "rows", "most"), [(0.29, 100, 29), (0.7, 10, 7), (0.2, 4, 0)])
def test_a_share_is_taken_as_it_is_written(share, rows, most):
    assert incoming("checked_orders", share, rows)[1].most_unexpected == most


def test_a_column_that_few_rows_have_is_judged_by_all_rows():
    con = loaded("checked_orders", [{"quantity": 2e9}] + [{"quantity": None}] * 9)
    assert audit(con, "checked_orders", incoming("checked_orders", 0.2, 10)).not_passed("critical") == ()


def test_a_sentence_tells_which_rule_refused_how_many_rows_and_the_limit():
    audited = audit(missing_accounts(3, 4), "checked_orders", incoming("checked_orders", 0.125, 4))
    assert [result.sentence for result in audited.not_passed("critical")] == [
        "some rule is broken in 3 of 4 checked rows (75.00%); the limit is 12.5%",
        "account_id is missing in 3 of 4 checked rows (75.00%); the limit is 12.5%",
    ]


def test_orders_must_come_in_and_engagements_should():
    orders = audit(loaded("checked_orders", []), "checked_orders", incoming("checked_orders", 0.2, 0))
    engagements = audit(
        loaded("checked_engagements", []), "checked_engagements", incoming("checked_engagements", 0.2, 0)
    )
    expected = ["there are 0 rows; at least 1 is needed"]
    assert [result.sentence for result in orders.not_passed("critical")] == expected
    assert [result.sentence for result in engagements.not_passed("critical")] == []
    assert [result.sentence for result in engagements.not_passed("warning")] == expected


def test_more_returns_than_sales_is_a_warning():
    con = loaded("checked_orders", [{"amount": -1}, {"amount": -1}, {"amount": 1}])
    audited = audit(con, "checked_orders", incoming("checked_orders", 0.2, 3))
    assert audited.not_passed("critical") == ()
    assert [result.sentence for result in audited.not_passed("warning")] == [
        "amount is negative in 2 of 3 checked rows: is its sign the wrong way round?"
    ]
