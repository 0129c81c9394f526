"""The held verdict: a segment changes when the score has said so for long enough, or at once on a hard fact.

It is a pure function of the dated verdicts in their order: what a day gives depends on that day's verdicts and on the
standings that the day before left, and on nothing else, so that a replay of the days gives what the nights gave.
"""

from collections.abc import Iterable
from datetime import date

import polars as pl

from config.scoring import Verdict
from config.tables import KEYS, VERDICT_STANDINGS

_TYPES = {"VARCHAR": pl.String, "DATE": pl.Date, "BOOLEAN": pl.Boolean}
STANDING = {
    column.name: _TYPES[column.type]
    for column in VERDICT_STANDINGS
    if column.name not in (*KEYS["verdict_standings"], "valid_to")
}
NO_STANDINGS = pl.DataFrame(schema={"account_id": pl.String, "line": pl.String, **STANDING})
NO_OVERRIDES = pl.DataFrame(
    schema={"account_id": pl.String, "line": pl.String, "override_segment": pl.String, "override_note": pl.String}
)

KEY = ("account_id", "line")


def held(
    judged: pl.LazyFrame,
    standings: pl.LazyFrame,
    overrides: pl.LazyFrame,
    as_of: date,
    rules: Verdict,
    joined_accounts: Iterable[str] = (),
) -> pl.LazyFrame:
    """The held verdict of each account x line.

    A score from `enter` on calls for client, one under `leave` for customer, one between for what is held. A call is
    followed when it has stood for `enter_days` or `leave_days` published days in a row, counted from the first to this one, both
    included, and the segment held has lasted `dwell_days`. Hard facts do not wait: the first order; orders taken back down to one
    occasion or none; a contract that starts on a day that calls for client, or ends on one that calls for customer; another
    account merged into this one. An override stands above what is held, which goes on beneath it.

    Args:
        judged: one row per account x line with `raw_segment`, `score`, `occasions` and `is_under_contract`.
        standings: `account_id`, `line` and the columns of `STANDING`, as the last day before left them.
        overrides: `account_id`, `line`, `override_segment` and `override_note` in force on the day.
        as_of: the day.
        rules: thresholds and waits.
        joined_accounts: accounts that another was merged into since the last day before.

    Returns:
        The rows of `judged` in their order, with the columns of `STANDING`, those of the override, and `because`: why the
        segment is another than on the day before, NULL where it is not.
    """
    before = standings.select(*KEY, *(pl.col(name).alias(f"old_{name}") for name in STANDING))
    keys = judged.select(KEY)
    # of the keys alone: a join would copy all other columns
    joined = (keys.join(each, on=KEY, how="left", maintain_order="left").drop(KEY) for each in (before, overrides))
    known = pl.concat([judged, *joined], how="horizontal")
    day, target = pl.lit(as_of), _target(rules)
    is_contrary = target != pl.col("old_held_segment")
    is_joined = pl.col("account_id").is_in(list(joined_accounts))
    contract_changed = (pl.col("is_under_contract") != pl.col("old_is_under_contract")) & (
        pl.col("is_under_contract") == (target == "client")
    )
    has_called = _days_since(day, "contrary_since") + 1 >= pl.when(target == "client").then(rules.enter_days).otherwise(
        rules.leave_days
    )
    has_dwelt = _days_since(day, "old_held_since") >= rules.dwell_days
    switches = is_contrary & (_is_fact() | contract_changed | is_joined | (has_called & has_dwelt))
    is_new, was_new = pl.col("old_held_segment").is_null(), pl.col("old_segment").is_null()
    changed = pl.col("segment") != pl.col("old_segment")
    return (
        known.with_columns(contrary_since=pl.when(is_contrary).then(pl.coalesce("old_contrary_since", day)))
        .with_columns(switches=switches.fill_null(False))
        .with_columns(
            held_segment=pl.when(is_new)
            .then("raw_segment")
            .when("switches")
            .then(target)
            .otherwise("old_held_segment"),
            held_since=pl.when(is_new | pl.col("switches")).then(day).otherwise("old_held_since"),
            contrary_since=pl.when(~pl.col("switches")).then("contrary_since"),
        )
        .with_columns(segment=pl.coalesce("override_segment", "held_segment"))
        .with_columns(
            segment_since=pl.when(was_new | changed).then(day).otherwise("old_segment_since"),
            previous_segment=pl.when(changed).then("old_segment").otherwise("old_previous_segment"),
            because=_because(was_new, changed, contract_changed, is_joined),
        )
        .drop(f"old_{name}" for name in STANDING)
        .drop("switches")
    )


def _target(rules: Verdict) -> pl.Expr:
    """The segment that the day calls for: what is held where the score is between the thresholds."""
    return (
        pl.when((pl.col("occasions") < 2) | (pl.col("old_held_segment") == "prospect"))
        .then("raw_segment")
        .when(pl.col("score") >= rules.enter)
        .then(pl.lit("client"))
        .when(pl.col("score") < rules.leave)
        .then(pl.lit("customer"))
        .otherwise("old_held_segment")
    )


def _is_fact() -> pl.Expr:
    return (pl.col("occasions") < 2) | (pl.col("old_held_segment") == "prospect")


def _days_since(day: pl.Expr, column: str) -> pl.Expr:
    return (day - pl.col(column)).dt.total_days()


def _because(was_new: pl.Expr, changed: pl.Expr, contract_changed: pl.Expr, is_joined: pl.Expr) -> pl.Expr:
    is_set, was_set = pl.col("override_segment").is_not_null(), pl.col("old_segment") != pl.col("old_held_segment")
    return (
        pl.when(was_new)
        .then(pl.lit("first seen"))
        .when(~changed)
        .then(None)
        .when(is_set)
        .then(pl.lit("set by hand"))
        .when(was_set)
        .then(pl.lit("no longer set by hand"))
        .when(pl.col("old_held_segment") == "prospect")
        .then(pl.lit("first order"))
        .when(pl.col("occasions") < 2)
        .then(pl.lit("orders taken back"))
        .when(is_joined)
        .then(pl.lit("accounts merged"))
        .when(contract_changed)
        .then(pl.when("is_under_contract").then(pl.lit("contract started")).otherwise(pl.lit("contract ended")))
        .otherwise(pl.lit("score"))
    )
