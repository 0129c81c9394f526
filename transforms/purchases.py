"""The purchase models of a business: fitted per line of business, and what they expect of each account.

Parameters are fitted on what was known at the end of the month before and are inputs to scoring, so that what is expected
of an account never depends on the accounts scored beside it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from transforms.names import named
from transforms.purchase_models import occasions, values
from transforms.purchase_models.fits import Fit, LineFit, fits_by_line

WEEKS_A_DAY = 1 / 7  # a factor, for Polars divides one row by a constant, but multiplies several by its inverse


@dataclass(frozen=True)
class PurchaseModels:
    """The models of each line: of purchase occasions (MBG/NBD) and of their value (Gamma-Gamma)."""

    occasions: dict[str, LineFit[occasions.MbgNbd]]
    values: dict[str, LineFit[values.GammaGamma]]


def fitted_until(as_of: date) -> date:
    """The last day that the models of a day are fitted on, the end of the month before: they stand for a month."""
    return as_of.replace(day=1) - timedelta(days=1)


def histories(statistics: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Purchase histories as the models take them, rows in the order given; NULL where there was no purchase occasion.

    Args:
        statistics: `line`, `occasions`, `first_order_on`, `last_order_on` and `repeat_revenue` of each account x line.
        as_of: the day at which the histories end.

    Returns:
        `line`, `repeat_order_days`, `first_to_last_weeks`, `tenure_weeks`, `mean_repeat_value` (money; NULL without a
        repeat order).
    """
    repeats = pl.col("occasions") - 1
    value = pl.col("repeat_revenue").cast(pl.Float64) / repeats
    return statistics.select(
        "line",
        repeat_order_days=pl.when(repeats >= 0).then(repeats),
        first_to_last_weeks=(pl.col("last_order_on") - pl.col("first_order_on")).dt.total_days() * WEEKS_A_DAY,
        tenure_weeks=(pl.lit(as_of) - pl.col("first_order_on")).dt.total_days() * WEEKS_A_DAY,
        mean_repeat_value=pl.when(repeats > 0).then(value),
    )


def fitted_models(past: pl.DataFrame, last_good: PurchaseModels | None) -> PurchaseModels:
    """Fits the models of every line; lines under 200 accounts share theirs.

    Args:
        past: as `histories` gives it.
        last_good: models to keep for a line whose fit ends at a bound or does not converge.
    """
    good_occasions, good_values = (_models(last_good.occasions), _models(last_good.values)) if last_good else ({}, {})
    return PurchaseModels(
        occasions=fits_by_line(past, occasions.fit_mbg_nbd, occasions.HAS_ORDERED, good_occasions),
        values=fits_by_line(past, values.fit_gamma_gamma, values.HAS_REPEATED, good_values),
    )


def with_outlook(statistics: pl.DataFrame, models: PurchaseModels, as_of: date) -> pl.DataFrame:
    """Adds what the models of its line expect of each account x line, to the statistics in the order given.

    Returns:
        The statistics with `model_p_alive` (0 to 1), `model_expected_order_days` (in the next 52 weeks) and
        `model_order_value` (money); NULL where there was no purchase occasion or the line has no model.
    """
    now = histories(statistics, as_of)
    counted = occasions.purchase_outlook(now, _models(models.occasions))
    valued = values.value_outlook(counted, _models(models.values))
    return statistics.with_columns(
        valued["p_alive"].alias("model_p_alive"),
        valued["expected_order_days_12m"].alias("model_expected_order_days"),
        valued["expected_order_value"].alias("model_order_value"),
    )


def _models(fits: Mapping[str, LineFit[Any]]) -> dict[str, Any]:
    return {line: fit.model for line, fit in fits.items() if fit.model is not None}


def unfitted(models: PurchaseModels) -> list[str]:
    """A sentence on the lines with a model that could not be fitted, and on what follows."""
    found = []
    for kind, told, fits in (
        ("occasions", "p_alive (but under a contract), expected_order_days_12m and clv_12m", models.occasions),
        ("values", "expected_order_value and clv_12m", models.values),
    ):
        for origin, follows in (
            ("none", f"so that {told} are unknown"),
            ("last_good", f"so that its last good one stands, for {told}"),
        ):
            lines = [line for line, fit in fits.items() if fit.origin == origin]
            if lines:
                found.append(f"no model of purchase {kind} could be fitted for the line {named(lines)}, {follows}")
    return found


def as_record(models: PurchaseModels) -> dict[str, Any]:
    """The models as plain data, for the ledger of runs and the next run."""
    return asdict(models)


def from_record(record: Mapping[str, Any]) -> PurchaseModels:
    """The models of a record that `as_record` gave."""
    return PurchaseModels(
        occasions={line: _line_fit(occasions.MbgNbd, each) for line, each in record["occasions"].items()},
        values={line: _line_fit(values.GammaGamma, each) for line, each in record["values"].items()},
    )


def _line_fit(kind: type, record: Mapping[str, Any]) -> LineFit[Any]:
    attempt = record["attempt"]
    return LineFit(
        model=None if record["model"] is None else kind(**record["model"]),
        origin=record["origin"],
        attempt=None if attempt is None else Fit(**{**attempt, "model": kind(**attempt["model"])}),
    )
