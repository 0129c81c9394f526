"""Readings, contributions and score: `score = 100 * sigmoid(base + sum of weight * z)`."""

import math
from collections.abc import Iterable

import polars as pl

from config.catalogue import BY_NAME, DIMENSIONS
from config.scoring import Gauge, Ruler

REACH = 2


def contributions(ruler: Ruler) -> list[pl.Expr]:
    """What each feature of the ruler adds to the log-odds; an unknown one adds 0."""
    return [_contribution(name, gauge).alias(contribution(name)) for name, gauge in ruler.features.items()]


def readings(ruler: Ruler) -> list[pl.Expr]:
    """How many steps from neutral each feature of the ruler reads, -2 to 2; an unknown one reads 0."""
    return [_reading(name, gauge).alias(name) for name, gauge in ruler.features.items()]


def contribution(name: str) -> str:
    """Name of the column that holds what a feature adds to the log-odds."""
    return f"{name}_contribution"


def scores(features: pl.LazyFrame, ruler: Ruler) -> pl.LazyFrame:
    """Scores every account x line on the ruler.

    Args:
        features: one row per account x line, as `relationship_features` gives it.
        ruler: the ruler.

    Returns:
        The features and, per row: a `*_contribution` per feature of the ruler and a `*_points` per dimension (log-
        odds), `base_points`,
        `log_odds` (the sum of all points), `score` (0 to 100) and `evidence` (share of the total weight that rests on
        known features).
    """
    points = [pl.col(f"{dimension}_points") for dimension in DIMENSIONS]
    known, unknown = (
        pl.sum_horizontal(
            pl.when(pl.col(name).is_null() == is_null).then(abs(gauge.weight)).otherwise(0.0)
            for name, gauge in ruler.features.items()
        )
        for is_null in (False, True)
    )
    return (
        features.with_columns(contributions(ruler))
        .with_columns(_points(ruler, dimension) for dimension in DIMENSIONS)
        .with_columns(
            base_points=pl.lit(ruler.base),
            log_odds=ruler.base + pl.sum_horizontal(points),
            evidence=known / (known + unknown),
        )
        .with_columns(score=100 / (1 + (-pl.col("log_odds")).exp()))
    )


def log_odds_at(score: float) -> float:
    """The log-odds at which a score of 0 to 100 stands."""
    return math.log(score / (100 - score))


def _contribution(name: str, gauge: Gauge) -> pl.Expr:
    return gauge.weight * _reading(name, gauge)


def _reading(name: str, gauge: Gauge) -> pl.Expr:
    # Polars divides one row by a constant, but multiplies several by its inverse, which can differ in the last bit
    reading = (pl.col(name).cast(pl.Float64) - gauge.neutral) * (1 / gauge.scale)
    return reading.clip(-REACH, REACH).fill_null(0.0)


def _points(ruler: Ruler, dimension: str) -> pl.Expr:
    columns = [pl.col(contribution(name)) for name in ruler.features if BY_NAME[name].dimension == dimension]
    return _sum(columns).alias(f"{dimension}_points")


def _sum(columns: Iterable[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal([*columns, pl.lit(0.0)])
