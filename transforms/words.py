"""A feature's value in words that a partner of a law firm or the owner of a shop understands."""

import numpy as np
import polars as pl

from config.catalogue import Feature

DAYS_A_MONTH = 365 / 12


def in_words(feature: Feature, values: pl.Series, currency: str) -> pl.Series:
    """The reason's sentence for each value of a feature: 'ordered on 14 days', 'revenue of 12,400 USD'.

    Each text is made once, however many values read the same.

    Args:
        feature: the feature.
        values: its values, none of them NULL.
        currency: the reporting currency.
    """
    before, after = feature.words.split("{}")
    shown, places = np.unique(_shown(feature, values), return_inverse=True)
    text = {
        "share": pl.format("{} %", "shown"),
        "days": _days("shown"),
        "count": _thousands("shown"),
        "money": pl.format("{} {}", _thousands("shown"), pl.lit(currency)),
        "number": (pl.col("shown") / 10).round(1).cast(pl.String),
        "premium": _against_reference("shown"),
    }[feature.unit]
    sentence = pl.format("{}{}{}", pl.lit(before), text, pl.lit(after))
    singular = sentence.str.replace(r"\b1 (day|account|order)s\b", "1 $1")
    return pl.DataFrame({"shown": shown}).select(singular.alias("words"))["words"].gather(places)


def _shown(feature: Feature, values: pl.Series) -> np.ndarray:
    """The whole number that the words show: percent, days, a count, whole money, tenths."""
    numbers = values.cast(pl.Float64)
    scaled = {
        "share": numbers * 100,
        "number": numbers * 10,
        "premium": (numbers.exp() - 1) * 100,
    }.get(feature.unit, numbers)
    return scaled.round(0).cast(pl.Int64).to_numpy()


def _days(name: str) -> pl.Expr:
    days = pl.col(name)
    months = (days / DAYS_A_MONTH).round(0).cast(pl.Int64)
    return (
        pl.when(days < 90)
        .then(pl.format("{} days", days))
        .when(days < 2 * 365)
        .then(pl.format("{} months", months))
        .otherwise(pl.format("{} years", (days / 365).round(1)))
    )


def _against_reference(name: str) -> pl.Expr:
    percent = pl.col(name)
    return pl.format("{} % {}", percent.abs(), pl.when(percent < 0).then(pl.lit("below")).otherwise(pl.lit("above")))


def _thousands(name: str) -> pl.Expr:
    """An integer with commas between thousands."""
    number = pl.col(name)
    from_behind = number.abs().cast(pl.String).str.reverse().str.replace_all(r"(\d{3})", "${1},")
    text = from_behind.str.reverse().str.strip_prefix(",")
    return pl.when(number < 0).then(pl.format("-{}", text)).otherwise(text)
