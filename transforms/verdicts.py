"""From a scored account to its segment, stage and treatment, and from its lines to the account as a whole."""

from datetime import date

import polars as pl

from config.scoring import Ruler, Stages

WHOLE = "*"
TENTH = 10

TREATMENTS = {
    ("client", "new"): "welcome in person",
    ("client", "active"): "keep close",
    ("client", "at_risk"): "call now",
    ("client", "lapsed"): "win back in person",
    ("customer", "one_time"): "invite back",
    ("customer", "new"): "welcome",
    ("customer", "active"): "serve well",
    ("customer", "at_risk"): "remind",
    ("customer", "lapsed"): "reactivate or let go",
    ("prospect", "new"): "follow up",
    ("prospect", "active"): "make an offer",
    ("prospect", "at_risk"): "ask again",
    ("prospect", "lapsed"): "leave in peace",
}


FACTS = (
    "first_order_on",
    "last_order_on",
    "first_contact_on",
    "last_two_way_on",
    "occasions",
    "contract_runs_until",
    "personal_contacts_12m",
)
"""The statistics that verdicts rest on beside the features."""

STAGE_FACTS = ("occasions", "known_days", "is_under_contract", "quiet_gaps")
"""What a stage rests on: `quiet_gaps` are the usual gaps since the last order or two-way contact, NULL where there was neither."""


def raw_verdicts(scored: pl.LazyFrame, statistics: pl.LazyFrame, as_of: date, ruler: Ruler) -> pl.LazyFrame:
    """The segment that the day's score alone would give each account x line, and what its stage rests on.

    An account without a purchase occasion is a prospect; with one occasion only it is never a client, whatever its
    score.

    Args:
        scored: one row per account x line, as `scores` gives it.
        statistics: the `FACTS` of the same rows in the same order.
        as_of: the last day counted, inclusive.
        ruler: the ruler, for its thresholds.

    Returns:
        The scored rows with `raw_segment` and the `STAGE_FACTS`.
    """
    quiet_days = (pl.lit(as_of) - pl.max_horizontal("last_order_on", "last_two_way_on")).dt.total_days()
    facts = statistics.select(
        pl.col("occasions"),
        (pl.lit(as_of) - pl.min_horizontal("first_order_on", "first_contact_on")).dt.total_days().alias("known_days"),
        (pl.col("contract_runs_until") >= as_of).fill_null(False).alias("is_under_contract"),
        (quiet_days / _usual_gap_days(ruler.stages)).alias("quiet_gaps"),
    )
    return pl.concat([scored, facts], how="horizontal").with_columns(raw_segment=_raw_segment(ruler))


def with_stages(held: pl.LazyFrame, ruler: Ruler) -> pl.LazyFrame:
    """Adds the `stage` within the segment held, and the `treatment` that both call for.

    Args:
        held: rows with their `segment` and the `STAGE_FACTS`.
        ruler: the ruler, for its stages.
    """
    return held.with_columns(stage=_stage(ruler.stages)).with_columns(treatment=_treatment())


def _raw_segment(ruler: Ruler) -> pl.Expr:
    return (
        pl.when(pl.col("occasions") == 0)
        .then(pl.lit("prospect"))
        .when((pl.col("score") >= ruler.verdict.enter) & (pl.col("occasions") > 1))
        .then(pl.lit("client"))
        .otherwise(pl.lit("customer"))
    )


def _usual_gap_days(stages: Stages) -> pl.Expr:
    span = (pl.col("last_order_on") - pl.col("first_order_on")).dt.total_days()
    mean_gap = pl.when(pl.col("occasions") > 1).then(span / (pl.col("occasions") - 1))
    return pl.max_horizontal(mean_gap, pl.lit(stages.usual_gap_days))


def _stage(stages: Stages) -> pl.Expr:
    quiet_gaps = pl.col("quiet_gaps").fill_null(float("inf"))
    return (
        pl.when((pl.col("segment") == "customer") & (pl.col("occasions") == 1) & ~pl.col("is_under_contract"))
        .then(pl.lit("one_time"))
        .when(pl.col("known_days") < stages.new_days)
        .then(pl.lit("new"))
        .when(pl.col("is_under_contract") | (quiet_gaps <= stages.at_risk_gaps))
        .then(pl.lit("active"))
        .when(quiet_gaps <= stages.lapsed_gaps)
        .then(pl.lit("at_risk"))
        .otherwise(pl.lit("lapsed"))
    )


def _treatment() -> pl.Expr:
    return pl.concat_str("segment", "stage", separator=" ").replace_strict(
        {" ".join(key): treatment for key, treatment in TREATMENTS.items()}
    )


def rolled_up(lines: pl.DataFrame) -> pl.DataFrame:
    """The account as a whole, `line = '*'`: it has the verdict of its leading line, and what a stage rests on of all lines.

    Lines that matter have at least 10 % of the account's revenue of the window, or of its personal contacts in it (all lines,
    where none has either). Among them a client line leads before a customer line before a prospect, then the higher score,
    then the name of the line.

    Args:
        lines: one row per account x line with `segment`, `score`, `revenue_12m`, `personal_contacts_12m` and the `STAGE_FACTS`.

    Returns:
        One row per account, its columns those of the leading line but for `line`; `revenue_12m` and `occasions`, the sums over
        all lines; the other `STAGE_FACTS`, of the line known longest, of any under contract, of the one least quiet; and
        `kept_by`, the next client line that matters, which keeps the account a client where the leading one is not.
    """
    revenue = pl.col("revenue_12m").clip(0).fill_null(0)
    order = pl.col("segment").replace_strict({"client": 0, "customer": 1, "prospect": 2}, return_dtype=pl.Int8)
    account = pl.col("account_id").rank("dense").alias("account")
    ranked = (
        lines.select(account, "line", "score", "revenue_12m", "personal_contacts_12m", order.alias("segment_order"))
        .with_row_index("row")
        .sort("account")  # sums over what is sorted cost a fifth
        .with_columns(is_minor=~(_has_tenth(revenue) | _has_tenth(pl.col("personal_contacts_12m"))))
        .sort("account", "is_minor", "segment_order", pl.col("score").neg(), "line")
        .with_columns(kept_by=pl.when(_is_a_clients().shift(-1)).then(pl.col("line").shift(-1)))
        .unique("account", keep="first", maintain_order=True)
        .sort("row")
    )
    of_all = (
        lines.group_by(account)
        .agg(pl.sum("revenue_12m", "occasions"), pl.max("known_days", "is_under_contract"), pl.min("quiet_gaps"))
        .sort("account")
        .drop("account")
    )
    leading, whole = lines[ranked["row"]], of_all[ranked["account"] - 1]
    return leading.with_columns(ranked["kept_by"], *whole, line=pl.lit(WHOLE))


def _is_a_clients() -> pl.Expr:
    """Whether a line is a client's, matters as the one before it does, and is not the first of its account."""
    follows = pl.col("account").eq_missing(pl.col("account").shift(1))
    return follows & (pl.col("is_minor") == pl.col("is_minor").shift(1)) & (pl.col("segment_order") == 0)


def _has_tenth(amount: pl.Expr) -> pl.Expr:
    total = amount.sum().over("account")
    return (total > 0) & (amount * TENTH >= total)  # in decimals, where exactly a tenth is a tenth
