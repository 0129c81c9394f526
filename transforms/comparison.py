"""What-if: which accounts would be of another segment under another ruler or configuration, and what moves them."""

from collections.abc import Collection

import polars as pl

from transforms.score import contribution

KEY = ["account_id", "line"]
BEYOND_ROUNDING = 1e-9


def movers(
    ours: pl.DataFrame, theirs: pl.DataFrame, our_features: Collection[str], their_features: Collection[str]
) -> pl.DataFrame:
    """The account lines whose segment differs, with the contribution that moves them most.

    Args:
        ours: one row per account x line with `segment`, `score`, `revenue_12m`, `base_points` and a `*_contribution` per feature of
            our ruler.
        theirs: the same under the other ruler or configuration.
        our_features: the features of our ruler.
        their_features: the features of the other.

    Returns:
        `account_id`, `line`, `segment`, `segment_then`, `score`, `score_then`, `revenue_12m` (NULL where the account line is not
        there) and `moved_by`: the feature whose contribution moves it most in the direction that it goes, `base`, or `rules` where
        no contribution does: thresholds, or what people decided. Sorted by revenue, the largest first.
    """
    features = sorted({*our_features, *their_features})
    sides = [_side(frame, own, features) for frame, own in ((ours, our_features), (theirs, their_features))]
    both = sides[0].join(sides[1], on=KEY, how="full", coalesce=True, suffix="_then")
    moved = both.filter(pl.col("segment").ne_missing(pl.col("segment_then")))
    towards = pl.when(pl.col("segment_then") == "client").then(1).otherwise(-1)
    pushes = moved.select(
        *KEY,
        *(
            ((pl.col(f"{contribution(name)}_then") - pl.col(contribution(name))).fill_null(0) * towards).alias(name)
            for name in ("base", *features)
        ),
    )
    strongest = (
        pushes.unpivot(index=KEY, variable_name="moved_by", value_name="push")
        .filter(pl.col("push") > BEYOND_ROUNDING)
        .sort(*KEY, "push", "moved_by", descending=[False, False, True, False])
        .unique(KEY, keep="first", maintain_order=True)
        .drop("push")
    )
    return (
        moved.join(strongest, on=KEY, how="left")
        .select(
            *KEY,
            "segment",
            "segment_then",
            "score",
            "score_then",
            pl.coalesce("revenue_12m", "revenue_12m_then").alias("revenue_12m"),
            pl.col("moved_by").fill_null("rules"),
        )
        .sort("revenue_12m", *KEY, descending=[True, False, False], nulls_last=True)
    )


def moves(movers: pl.DataFrame) -> pl.DataFrame:
    """Per line and pair of segments: `accounts` that move and their `revenue_12m`."""
    return (
        movers.group_by("line", "segment", "segment_then")
        .agg(accounts=pl.len(), revenue_12m=pl.col("revenue_12m").sum())
        .sort("line", "segment", "segment_then")
    )


def _side(frame: pl.DataFrame, own: Collection[str], features: Collection[str]) -> pl.DataFrame:
    contributions = [
        (pl.col(contribution(name)) if name in own else pl.lit(0.0)).alias(contribution(name)) for name in features
    ]
    base = pl.col("base_points").alias(contribution("base"))
    return frame.select(*KEY, "segment", "score", "revenue_12m", base, *contributions)
