"""Since when an account as a whole has its segment."""

from datetime import date

import polars as pl


def with_history(whole: pl.DataFrame, standings: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Gives each account as a whole a history of its own: its lines are held already, so its segment is not held again.

    Args:
        whole: one row per account, as `rolled_up` gives it, with the standing of its leading line.
        standings: those of accounts as a whole, as the last day before left them.
        as_of: the day.

    Returns:
        The rows in their order, with `segment_since`, `previous_segment` and `because` of the account.
    """
    before = standings.select(
        "account_id",
        old_segment=pl.col("segment"),
        old_since=pl.col("segment_since"),
        old_previous=pl.col("previous_segment"),
    )
    is_new, changed = pl.col("old_segment").is_null(), pl.col("segment") != pl.col("old_segment")
    # a line that is new may lead an account that is not, and one that moved may lead an account that comes from elsewhere
    is_first_order = (pl.col("old_segment") == "prospect") & (pl.col("because") == "first seen")
    moved_alike = pl.col("because").is_not_null() & (pl.col("previous_segment") == pl.col("old_segment"))
    by_line = (
        pl.when(is_first_order)
        .then(pl.lit("first order"))
        .when(moved_alike)
        .then("because")
        .otherwise(pl.lit("another line leads"))
    )
    return (
        whole.join(before, on="account_id", how="left", maintain_order="left")
        .with_columns(
            segment_since=pl.when(is_new | changed).then(pl.lit(as_of)).otherwise("old_since"),
            previous_segment=pl.when(changed).then("old_segment").otherwise("old_previous"),
            held_segment=pl.lit(None, pl.String),
            held_since=pl.lit(None, pl.Date),
            contrary_since=pl.lit(None, pl.Date),
            is_under_contract=pl.lit(None, pl.Boolean),
            because=pl.when(is_new).then(pl.lit("first seen")).when(changed).then(by_line),
        )
        .drop("old_segment", "old_since", "old_previous")
    )
