"""From features to the verdicts of a day: score, segment, stage, reasons, roll-up."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from config.catalogue import DIMENSIONS
from config.scoring import Ruler
from transforms.reasons import PLACES, SIDES, flips, reasons, told
from transforms.score import scores
from transforms.verdicts import rolled_up, verdicts

COLUMNS = (
    "account_id",
    "line",
    "as_of",
    "segment",
    "stage",
    "score",
    "evidence",
    "reasons",
    *(f"{dimension}_points" for dimension in DIMENSIONS),
    "base_points",
    "raw_segment",
    "revenue_12m",
    "treatment",
    "personal_contacts_12m",
)


@dataclass(frozen=True)
class Judgement:
    """The verdicts of a day.

    Attributes:
        verdicts: one row per account x line and, with line '*', per account.
        reason_counts: `line`, `segment`, `side`, `feature`, `accounts`: how many have it among the three largest of a side.
    """

    verdicts: pl.DataFrame
    reason_counts: pl.DataFrame


def judgement(features: pl.DataFrame, statistics: pl.DataFrame, ruler: Ruler, as_of: date, currency: str) -> Judgement:
    """Judges every account x line, and every account as a whole.

    Args:
        features: one row per account x line, as `relationship_features` gives it.
        statistics: the statistics of the same rows in the same order.
        ruler: the ruler.
        as_of: the last day counted, inclusive.
        currency: the reporting currency, for amounts in words.
    """
    scored = verdicts(scores(features.lazy(), ruler), statistics.lazy(), as_of, ruler).collect()
    why = reasons(scored, ruler, currency)
    lines = scored.with_columns(
        told(why, flips(scored, ruler, currency), scored["segment"]),
        statistics["personal_contacts_12m"],
        revenue_12m=pl.col("revenue_12m").fill_null(0),
    ).select(COLUMNS)
    return Judgement(pl.concat([lines, rolled_up(lines).select(COLUMNS)]), _reason_counts(why, lines))


def _reason_counts(why: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    parts = [
        pl.DataFrame([lines["line"], lines["segment"], why[f"{side}_{place}_feature"].alias("feature")])
        .drop_nulls("feature")
        .group_by("line", "segment", "feature")
        .agg(accounts=pl.len())
        .with_columns(side=pl.lit(side))
        for side in SIDES
        for place in PLACES
    ]
    return pl.concat(parts).group_by("line", "segment", "side", "feature").agg(pl.col("accounts").sum())
