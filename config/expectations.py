"""The audits as data: what must hold of the tables that come in and of those that go out.

Each check is a Great Expectations type with its arguments; `flows.audits` runs them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
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
            the rows judged (those with a value), `{share}` the one of the other.
    """

    expectation: str
    kwargs: dict[str, Any]
    severity: Severity
    says: str


def incoming(table: IncomingTable, quarantined_share: float, tolerated_share: float) -> tuple[Check, ...]:
    """Checks of the rows that came in: the rules, one or all, may refuse no more than a share of them.

    Args:
        table: `checked_orders`, which must have rows, or `checked_engagements`, which should.
        quarantined_share: the share of all rows, 0 to 1, that may go to quarantine; more of those that came in is reported.
        tolerated_share: the share of the rows that came in, 0 to 1, that may go there with the rows of before counted too.
    """
    mostly = _but_for(tolerated_share)
    limit = f"{100 * tolerated_share:g}%"
    found = f"in {{unexpected:,}} of {{rows:,}} checked rows ({{share:.2%}}); the limit is {limit}"
    by_rule = tuple(
        Check(rule.expectation, rule.kwargs | mostly, "critical", f"{rule.reason} {found}") for rule in RULES[table]
    )
    return (
        _any_rows("critical" if table == "checked_orders" else "warning"),
        Check(
            "expect_column_values_to_be_null",
            {"column": "reason"} | mostly,
            "critical",
            f"some rule is broken {found}",
        ),
        *by_rule,
        *([_many_unfit(quarantined_share)] if quarantined_share < tolerated_share else []),
        *_SUSPICIONS[table],
    )


def _but_for(share: float) -> dict[str, float]:
    """The argument that lets a share of the rows fail."""
    return {"mostly": round(1 - share, 12)}


def _many_unfit(share: float) -> Check:
    return Check(
        "expect_column_values_to_be_null",
        {"column": "reason"} | _but_for(share),
        "warning",
        f"{{unexpected:,}} of the {{rows:,}} new rows ({{share:.2%}}) are unfit; above {100 * share:g}% look whether the source changed",
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
