"""The suites for the tables going out: sound tables pass, and each defect is named with its count."""

from datetime import date
from typing import Any

import duckdb
import pytest

from config.catalogue import FEATURES
from config.expectations import Check, account_features, account_segments, segment_summary
from config.tables import PUBLISHED
from flows.audits import audit

AS_OF = date(2026, 3, 1)

SEGMENT_ROW: dict[str, Any] = {
    "account_id": "C3",
    "line": "all",
    "as_of": AS_OF,
    "segment": "client",
    "stage": "active",
    "score": 100 / (1 + 2.718281828459045**-1.5),
    "evidence": 0.5,
    "reasons": "ordered in 11 of the last 12 months",
    "ongoing_points": 1.5,
    "personal_points": -0.25,
    "two_way_points": 0.5,
    "involvement_points": 0.0,
    "value_points": 0.75,
    "service_points": 0.0,
    "advocacy_points": 0.0,
    "base_points": -1.0,
    "raw_segment": "customer",
    "segment_since": AS_OF,
    "revenue_12m": 120,
    "treatment": "keep in touch",
    "ruler_version": "1",
    "run_id": "night-1",
}
SUMMARY_ROW: dict[str, Any] = {
    "as_of": AS_OF,
    "line": "all",
    "segment": "client",
    "stage": "active",
    "accounts": 2,
    "revenue_12m": 240,
    "revenue_share": 1.0,
    "revenue_stability": 0.5,
    "entered_accounts": 0,
    "left_accounts": 0,
}


def insert(con: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    con.execute(f"insert into {table} by name select {', '.join(f'${name} as {name}' for name in row)}", row)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """Two accounts in one line, each with its roll-up, and a segment and stage that nobody is in any more."""
    con = duckdb.connect()
    for table, columns in PUBLISHED.items():
        con.execute(f"create temp table {table} ({', '.join(f'{each.name} {each.type}' for each in columns)})")
    for account_id in ("C3", "C4"):
        insert(con, "account_segments", SEGMENT_ROW | {"account_id": account_id})
        insert(con, "account_segments", SEGMENT_ROW | {"account_id": account_id, "line": "*"})
        insert(con, "account_features", {"account_id": account_id, "line": "all", "as_of": AS_OF})
    insert(con, "segment_summary", SUMMARY_ROW)
    insert(con, "segment_summary", SUMMARY_ROW | {"line": "*"})
    gone = {"segment": "prospect", "stage": "new", "accounts": 0, "revenue_12m": 0, "revenue_share": 0.0}
    insert(con, "segment_summary", SUMMARY_ROW | gone | {"left_accounts": 1})
    return con


SUITES: dict[str, tuple[Check, ...]] = {
    "account_segments": account_segments("night-1", AS_OF),
    "account_features": account_features(AS_OF),
    "segment_summary": segment_summary(AS_OF),
}


def complaints(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    audited = audit(con, table, SUITES[table])
    return [f"{each.severity}: {each.sentence}" for each in audited.checks if each.outcome != "passed"]


@pytest.mark.parametrize("table", SUITES)
def test_sound_tables_pass(con, table):
    assert complaints(con, table) == []


@pytest.mark.parametrize("table", SUITES)
def test_an_empty_table_is_refused(con, table):
    con.execute("delete from account_segments")
    con.execute(f"delete from {table}")
    assert complaints(con, table) == ["critical: there are 0 rows; at least 1 is needed"]


def test_an_empty_summary_of_segments_that_have_accounts_is_refused(con):
    con.execute("delete from segment_summary")
    assert complaints(con, "segment_summary") == [
        "critical: there are 0 rows; at least 1 is needed",
        "critical: rows that do not agree with account_segments on accounts or revenue: 2",
    ]


def test_the_sum_of_the_points_is_held_to_a_billionth_of_log_odds(con):
    con.execute("update account_segments set base_points = base_points + 1e-9 where account_id = 'C3'")
    assert complaints(con, "account_segments") == []
    con.execute("update account_segments set base_points = base_points + 1e-8 where account_id = 'C3'")
    assert complaints(con, "account_segments") == ["critical: the points do not add up to the score in 2 of 4 rows"]


DEFECTS = [
    (
        "account_segments",
        "update account_segments set reasons = null where account_id = 'C3'",
        "critical: a required value is missing in 2 of 4 rows",
    ),
    (
        "account_segments",
        "insert into account_segments from account_segments where account_id = 'C3' and line = 'all'",
        "critical: keys (account_id, line) that stand in more than one row: 1",
    ),
    (
        "account_segments",
        "update account_segments set as_of = '2026-02-28' where account_id = 'C3'",
        "critical: as_of is not 2026-03-01 in 2 of 4 checked rows",
    ),
    (
        "account_segments",
        "update account_segments set run_id = 'night-0' where account_id = 'C4' and line = '*'",
        "critical: run_id is not night-1 in 1 of 4 checked rows",
    ),
    (
        "account_segments",
        "update account_segments set segment = 'other' where line = 'all'",
        "critical: segment is none of client, customer, prospect in 2 of 4 checked rows",
    ),
    (
        "account_segments",
        "update account_segments set raw_segment = 'Client' where line = 'all'",
        "critical: raw_segment is none of client, customer, prospect in 2 of 4 checked rows",
    ),
    (
        "account_segments",
        "update account_segments set stage = 'gone' where line = 'all'",
        "critical: stage is none of active, at_risk, lapsed, new, one_time in 2 of 4 checked rows",
    ),
    (
        "account_segments",
        "update account_segments set evidence = 'nan' where line = 'all'",
        "critical: evidence is below 0 or above 1 in 2 of 4 checked rows",
    ),
    (
        "account_segments",
        "update account_segments set value_points = 'nan' where line = 'all'",
        "critical: the points do not add up to the score in 2 of 4 rows",
    ),
    (
        "account_segments",
        "update account_segments set value_points = 'inf', service_points = '-inf' where line = 'all'",
        "critical: the points do not add up to the score in 2 of 4 rows",
    ),
    (
        "account_segments",
        "delete from account_segments where line = '*' and account_id = 'C4'",
        "critical: accounts without exactly one row with line '*': 1",
    ),
    (
        "account_features",
        "insert into account_features from account_features",
        "critical: keys (account_id, line) that stand in more than one row: 2",
    ),
    (
        "account_features",
        "update account_features set line = null",
        "critical: a required value is missing in 2 of 2 rows",
    ),
    (
        "account_features",
        "update account_features set as_of = '2026-03-02'",
        "critical: as_of is not 2026-03-01 in 2 of 2 checked rows",
    ),
    (
        "segment_summary",
        "update segment_summary set left_accounts = null where stage = 'new'",
        "critical: a required value is missing in 1 of 3 rows",
    ),
    (
        "segment_summary",
        "update segment_summary set as_of = '2026-03-02' where stage = 'new'",
        "critical: as_of is not 2026-03-01 in 1 of 3 checked rows",
    ),
    (
        "segment_summary",
        "insert into segment_summary from segment_summary where stage = 'new'",
        "critical: keys (as_of, line, segment, stage) that stand in more than one row: 1",
    ),
    (
        "segment_summary",
        "update segment_summary set stage = 'gone' where stage = 'new'",
        "critical: stage is none of active, at_risk, lapsed, new, one_time in 1 of 3 checked rows",
    ),
    (
        "segment_summary",
        "update segment_summary set segment = 'other' where stage = 'new'",
        "critical: segment is none of client, customer, prospect in 1 of 3 checked rows",
    ),
    (
        "segment_summary",
        "update segment_summary set revenue_stability = 1.5 where line = 'all'",
        "critical: revenue_stability is below 0 or above 1 in 2 of 3 checked rows",
    ),
    (
        "segment_summary",
        "update segment_summary set revenue_share = -0.5 where line = 'all' and stage = 'new'",
        "warning: revenue_share is below 0 or above 1 in 1 of 3 checked rows",
    ),
    (
        "segment_summary",
        "update segment_summary set accounts = 3 where line = 'all' and stage = 'active'",
        "critical: rows that do not agree with account_segments on accounts or revenue: 1",
    ),
    (
        "segment_summary",
        "update segment_summary set revenue_12m = 1 where stage = 'new'",
        "critical: rows that do not agree with account_segments on accounts or revenue: 1",
    ),
    (
        "segment_summary",
        "update segment_summary set accounts = 1 where stage = 'new'",
        "critical: rows that do not agree with account_segments on accounts or revenue: 1",
    ),
    (
        "segment_summary",
        "update account_segments set revenue_12m = 0; update segment_summary set revenue_12m = 0;"
        " delete from segment_summary where line = '*'",
        "critical: rows that do not agree with account_segments on accounts or revenue: 1",
    ),
    (
        "segment_summary",
        "delete from segment_summary where line = '*'",
        "critical: rows that do not agree with account_segments on accounts or revenue: 1",
    ),
]


@pytest.mark.parametrize(("table", "damage", "complaint"), DEFECTS)
def test_a_defect_is_named_with_its_count(con, table, damage, complaint):
    con.execute(damage)
    assert complaints(con, table) == [complaint]


def test_a_score_outside_0_to_100_is_refused(con):
    con.execute("update account_segments set score = 100.5 where line = 'all'")
    assert complaints(con, "account_segments") == [
        "critical: score is below 0 or above 100 in 2 of 4 checked rows",
        "critical: the points do not add up to the score in 2 of 4 rows",
    ]


RANGED = [each for each in FEATURES if each.low is not None or each.high is not None]


def set_features(con: duckdb.DuckDBPyConnection, values: dict[str, Any]) -> None:
    assignments = ", ".join(f"{name} = ${name}" for name in values)
    con.execute(f"update account_features set {assignments} where account_id = 'C3'", values)


@pytest.mark.parametrize("edge", ["low", "high"])
def test_features_at_the_edge_of_their_ranges_pass(con, edge):
    set_features(con, {each.name: getattr(each, edge) for each in RANGED})
    assert complaints(con, "account_features") == []


@pytest.mark.parametrize(("edge", "step"), [("low", -1), ("high", 1)])
def test_each_feature_beyond_its_range_is_named(con, edge, step):
    beyond = {each.name: getattr(each, edge) + step for each in RANGED if getattr(each, edge) is not None}
    set_features(con, beyond)
    named = [each.removeprefix("critical: ").split(" is ")[0] for each in complaints(con, "account_features")]
    assert named == list(beyond)


def test_a_feature_that_can_be_infinite_has_a_range():
    unbounded = [each.name for each in FEATURES if each.unit in ("share", "ratio") and None in (each.low, each.high)]
    assert unbounded == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_feature_that_is_not_finite_is_refused(con, value):
    con.execute(f"update account_features set gap_regularity = '{value}' where account_id = 'C4'")
    assert complaints(con, "account_features") == [
        "critical: gap_regularity is below 0 or above 1 in 1 of 1 checked rows"
    ]
