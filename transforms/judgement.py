"""From features to the verdicts of a day: score, segment, stage, reasons, roll-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from config.catalogue import DIMENSIONS
from config.scoring import Ruler
from transforms.holding import NO_OVERRIDES, NO_STANDINGS, STANDING, held
from transforms.reasons import PLACES, SIDES, flips, reasons, told, told_of_the_whole
from transforms.score import scores
from transforms.transitions import with_history
from transforms.verdicts import STAGE_FACTS, WHOLE, raw_verdicts, rolled_up, with_stages

COLUMNS = (
    "account_id",
    "line",
    "as_of",
    "stage",
    "score",
    "evidence",
    "reasons",
    *(f"{dimension}_points" for dimension in DIMENSIONS),
    "base_points",
    "raw_segment",
    "revenue_12m",
    "treatment",
    *STANDING,
    "because",
    "personal_contacts_12m",
)


@dataclass(frozen=True)
class Judgement:
    """The verdicts of a day.

    Attributes:
        verdicts: one row per account x line and, with line '*', per account; with its standing (`transforms.holding`) and
            `because`, why its segment is another than the day before.
        reason_counts: `line`, `segment`, `side`, `feature`, `accounts`: how many have it among the three largest of a side.
    """

    verdicts: pl.DataFrame
    reason_counts: pl.DataFrame


def judgement(
    features: pl.DataFrame,
    statistics: pl.DataFrame,
    ruler: Ruler,
    as_of: date,
    currency: str,
    standings: pl.DataFrame = NO_STANDINGS,
    overrides: pl.DataFrame = NO_OVERRIDES,
    joined_accounts: Sequence[str] = (),
) -> Judgement:
    """Judges every account x line, and every account as a whole.

    Args:
        features: one row per account x line, as `relationship_features` gives it.
        statistics: the `transforms.verdicts.FACTS` of the same rows in the same order.
        ruler: the ruler.
        as_of: the last day counted, inclusive.
        currency: the reporting currency, for amounts in words.
        standings: what the last day before left of each account x line and, with line '*', account.
        overrides: verdicts set by hand that are in force, per account x line, with why in words (`override_note`).
        joined_accounts: accounts that another was merged into since the last day before.
    """
    scored = held_verdicts(features, statistics, ruler, as_of, standings, overrides, joined_accounts)
    why = reasons(scored, ruler, currency)
    lines = scored.with_columns(
        told(why, flips(scored, ruler, currency), scored),
        statistics["personal_contacts_12m"],
        revenue_12m=pl.col("revenue_12m").fill_null(0),
    ).select(*COLUMNS, *(fact for fact in STAGE_FACTS if fact not in COLUMNS))
    whole = with_stages(rolled_up(lines).lazy(), ruler).with_columns(told_of_the_whole()).collect()
    whole = with_history(whole, standings.filter(pl.col("line") == WHOLE), as_of).select(COLUMNS)
    return Judgement(pl.concat([lines.select(COLUMNS), whole]), _reason_counts(why, lines))


def held_verdicts(
    features: pl.DataFrame,
    statistics: pl.DataFrame,
    ruler: Ruler,
    as_of: date,
    standings: pl.DataFrame,
    overrides: pl.DataFrame,
    joined_accounts: Sequence[str] = (),
) -> pl.DataFrame:
    """Scores, and the held segment with its stage, of each account x line; arguments as for `judgement`."""
    raw = raw_verdicts(scores(features.lazy(), ruler), statistics.lazy(), as_of, ruler)
    found = held(raw, standings.lazy(), overrides.lazy(), as_of, ruler.verdict, joined_accounts)
    return with_stages(found, ruler).collect().rechunk()


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
