"""Fitting a ruler to a business: an explicit act whose result people review before any run uses it."""

from datetime import date

import polars as pl

from config.catalogue import BY_NAME
from config.scoring import Gauge, Ruler

QUARTILES_OF_A_STEP = 1.349


def fitted_ruler(features: pl.DataFrame, ruler: Ruler, as_of: date) -> Ruler:
    """The ruler with neutral and scale of its money features measured on the business's own accounts.

    Neutral is the median and a step the distance between the quartiles over 1.349 (a standard deviation, were the amounts normal), over
    the account lines that ordered in the last 365 days. Weights, base and all other features stay.

    Args:
        features: `account_features` of one day.
        ruler: the ruler to start from.
        as_of: that day, for the version.

    Returns:
        A ruler with a version of its own and the origin "fitted". A feature whose quartiles coincide keeps its gauge.
    """
    active = features.filter(pl.col("order_days_12m") > 0)
    gauges = {name: _fitted(active, name, gauge) for name, gauge in ruler.features.items()}
    return ruler.model_copy(
        update={"version": f"{ruler.version}-fitted-{as_of}", "origin": "fitted", "features": gauges}
    )


def _fitted(active: pl.DataFrame, name: str, gauge: Gauge) -> Gauge:
    if BY_NAME[name].unit != "money":
        return gauge
    amounts = active[name].cast(pl.Float64).drop_nulls()
    low, middle, high = (amounts.quantile(share, "linear") for share in (0.25, 0.5, 0.75))
    if middle is None or low is None or high is None or high <= low:
        return gauge
    return gauge.model_copy(update={"neutral": round(middle, 2), "scale": round((high - low) / QUARTILES_OF_A_STEP, 2)})
