"""The audits as data: what must hold of the tables that come in and of those that go out.

Each check is a Great Expectations type with its arguments; `flows.audits` runs them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Literal

from config.catalogue import DIMENSIONS, FEATURES
from config.rules import ROLL_UP, RULES, IncomingTable
from config.tables import KEYS, PUBLISHED

Severity = Literal["critical", "warning"]

SEGMENTS = ("client", "customer", "prospect")
STAGES = ("active", "at_risk", "lapsed", "new", "one_time")
SCORE_TOLERANCE = 25e-9  # the most that 1e-9 of log-odds moves a score


@dataclass(frozen=True)
class Check:
    """One expectation of a table.

    Attributes:
        expectation: Great Expectations' type of check, in snake case, or that of `flows.gx_duckdb`.
        kwargs: its arguments.
        severity: a critical check that fails, or cannot be evaluated, stops the run; a warning is reported.
        says: a sentence on the outcome. `{unexpected}` is the number of offending rows, `{rows}` that of
            the rows judged (those with a value, of all where `most_unexpected` is given), `{share}` the one of the other.
        most_unexpected: so many rows may offend; None for what Great Expectations judges by itself, whose `mostly` is a
            share of the rows with a value.
    """

    expectation: str
    kwargs: dict[str, Any]
    severity: Severity
    says: str
    most_unexpected: int | None = None


def incoming(
    table: IncomingTable, share: float, rows: int, kept_rows: int = 0, kept_unfit: int = 0
) -> tuple[Check, ...]:
    """Checks of the rows that came in: with those of before, the rules, one or all, may refuse no more than a share of them.

    Args:
        table: `checked_orders`, which must have rows, or `checked_engagements`, which should.
        share: the share of all rows, 0 to 1, that may go to quarantine; more of those that came in is reported.
        rows: how many came in.
        kept_rows: how many of earlier nights count beside them.
        kept_unfit: how many of these are in quarantine.
    """
    most = _part(share, rows + kept_rows) - kept_unfit
    before = f" of all rows, and of the {kept_rows:,} of before {kept_unfit:,} are unfit" if kept_rows else ""
    found = f"in {{unexpected:,}} of {{rows:,}} checked rows ({{share:.2%}}); the limit is {100 * share:g}%{before}"
    by_rule = tuple(
        Check(rule.expectation, rule.kwargs, "critical", f"{rule.reason} {found}", max(0, most))
        for rule in RULES[table]
    )
    return (
        *([] if kept_rows else [_any_rows("critical" if table == "checked_orders" else "warning")]),
        Check(
            "expect_column_values_to_be_null", {"column": "reason"}, "critical", f"some rule is broken {found}", most
        ),
        *by_rule,
        *([_many_unfit(share, rows)] if _part(share, rows) < most else []),
        *_SUSPICIONS[table],
    )


def _part(share: float, rows: int) -> int:
    """How many rows a share of them is at most, by the share as it is written: 0.29 of 100 are 29."""
    return math.floor(Fraction(str(share)) * rows)


def _many_unfit(share: float, rows: int) -> Check:
    return Check(
        "expect_column_values_to_be_null",
        {"column": "reason"},
        "warning",
        f"{{unexpected:,}} of the {{rows:,}} new rows ({{share:.2%}}) are unfit; above {100 * share:g}% look whether the source changed",
        _part(share, rows),
    )


_SUSPICIONS: dict[IncomingTable, tuple[Check, ...]] = {
    "checked_orders": (
        Check(
            "expect_column_values_to_be_between",
            {"column": "amount", "min_value": 0, "mostly": 0.5},
            "warning",
            "amount is negative in {unexpected:,} of {rows:,} checked rows: is its sign the wrong way round?",
        ),
    ),
    "checked_engagements": (),
}


def account_segments(run_id: str, as_of: date) -> tuple[Check, ...]:
    """Checks of the verdicts that a run would publish."""
    points = " + ".join(f"{dimension}_points" for dimension in (*DIMENSIONS, "base"))
    return (
        *_sound("account_segments"),
        _constant("as_of", as_of.isoformat()),
        _constant("run_id", run_id),
        _in_set("segment", SEGMENTS),
        _in_set("raw_segment", SEGMENTS),
        _in_set("stage", STAGES),
        _between("score", 0, 100),
        _between("evidence", 0, 1),
        _none_where(
            f"abs(score - 100 / (1 + exp(-({points})))) > {SCORE_TOLERANCE}",
            "the points do not add up to the score in {unexpected:,} of {rows:,} rows",
        ),
        _no_rows(
            f"select 1 from {{batch}} group by account_id having count(*) filter (where line = '{ROLL_UP}') <> 1",
            f"accounts without exactly one row with line '{ROLL_UP}': {{unexpected:,}}",
        ),
    )


def account_features(as_of: date) -> tuple[Check, ...]:
    """Checks of the features that a run would publish: within their ranges, so finite too."""
    return (
        *_sound("account_features"),
        _constant("as_of", as_of.isoformat()),
        *(
            _between(feature.name, feature.low, feature.high)
            for feature in FEATURES
            if feature.low is not None or feature.high is not None
        ),
    )


def segment_summary(as_of: date) -> tuple[Check, ...]:
    """Checks of the summary that a run would publish; `account_segments` must be on the same connection."""
    return (
        *_sound("segment_summary"),
        _constant("as_of", as_of.isoformat()),
        _in_set("segment", SEGMENTS),
        _in_set("stage", STAGES),
        _between("revenue_stability", 0, 1),
        # Refunds can leave a segment with negative revenue, and the others with more than all of it.
        _between("revenue_share", 0, 1, "warning"),
        _no_rows(
            "with counted as ("
            "select line, segment, stage, count(*) as accounts, sum(revenue_12m) as revenue_12m"
            " from account_segments group by line, segment, stage) "
            "select 1 from {batch} as summary full join counted using (line, segment, stage)"
            " where coalesce(summary.accounts, 0) <> coalesce(counted.accounts, 0)"
            " or coalesce(summary.revenue_12m, 0) <> coalesce(counted.revenue_12m, 0)",
            "rows that do not agree with account_segments on accounts or revenue: {unexpected:,}",
        ),
    )


def _sound(table: str) -> tuple[Check, ...]:
    """At least one row, all required values there, keys unique."""
    required = [column.name for column in PUBLISHED[table] if column.required]
    keys = ", ".join(KEYS[table])
    return (
        _any_rows("critical"),
        _none_where(
            " or ".join(f"{column} is null" for column in required),
            "a required value is missing in {unexpected:,} of {rows:,} rows",
        ),
        _no_rows(
            f"select 1 from {{batch}} group by {keys} having count(*) > 1",
            f"keys ({keys}) that stand in more than one row: {{unexpected:,}}",
        ),
    )


def _any_rows(severity: Severity) -> Check:
    return Check(
        "expect_table_row_count_to_be_between",
        {"min_value": 1},
        severity,
        "there are {rows:,} rows; at least 1 is needed",
    )


def _constant(column: str, value: str) -> Check:
    return Check(
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": [value]},
        "critical",
        f"{column} is not {value} in {{unexpected:,}} of {{rows:,}} checked rows",
    )


def _in_set(column: str, values: Iterable[str]) -> Check:
    return Check(
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": list(values)},
        "critical",
        f"{column} is none of {', '.join(values)} in {{unexpected:,}} of {{rows:,}} checked rows",
    )


def _between(column: str, low: float | None, high: float | None, severity: Severity = "critical") -> Check:
    bounds = {"min_value": low, "max_value": high}
    words = {"min_value": "below", "max_value": "above"}
    limits = {name: value for name, value in bounds.items() if value is not None}
    outside = " or ".join(f"{words[name]} {value:g}" for name, value in limits.items())
    return Check(
        "expect_column_values_to_be_between",
        {"column": column} | limits,
        severity,
        f"{column} is {outside} in {{unexpected:,}} of {{rows:,}} checked rows",
    )


def _no_rows(query: str, says: str) -> Check:
    return Check("expect_query_to_find_no_rows", {"unexpected_rows_query": query}, "critical", says)


def _none_where(predicate: str, says: str) -> Check:
    return _no_rows(f"select 1 from {{batch}} where {predicate}", says)
