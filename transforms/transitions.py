"""What changed since the last publication."""

from datetime import date

import polars as pl


def with_history(verdicts: pl.DataFrame, previous: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Adds since when each account x line has its segment, and which one it had before.

    Args:
        verdicts: one row per account x line, roll-ups included, with `segment`.
        previous: the live `account_segments`: `account_id`, `line`, `as_of`, `segment`, `segment_since`,
            `previous_segment`. Rows of a day after
            `as_of` are left out: what was published for later says nothing of this day.
        as_of: the last day counted.

    Returns:
        The verdicts with `segment_since` and `previous_segment`.
    """
    before = previous.filter(pl.col("as_of") <= as_of).select(
        "account_id",
        "line",
        was=pl.col("segment"),
        was_since=pl.col("segment_since"),
        was_before=pl.col("previous_segment"),
    )
    same = pl.col("segment") == pl.col("was")
    return (
        verdicts.join(before, on=["account_id", "line"], how="left", maintain_order="left")
        .with_columns(
            segment_since=pl.when(same).then("was_since").otherwise(pl.lit(as_of)),
            previous_segment=pl.when(same).then("was_before").otherwise("was"),
        )
        .drop("was", "was_since", "was_before")
    )
