"""CDNOW: what 2,357 customers who first bought in January to March 1997 bought until June 1998.

A tenth of the customers of Fader and Hardie's data set. The file is read where the development dependency
`lifetimes` keeps it, without importing that package.
"""

from datetime import date, datetime
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from transforms.purchase_models import occasions, values

CALIBRATION_ENDS = date(1997, 9, 30)


def bundled(name: str) -> Path:
    return Path(str(distribution("lifetimes").locate_file(f"lifetimes/datasets/{name}")))


@pytest.fixture(scope="session")
def cdnow_rows() -> pl.DataFrame:
    """One row per order: columns of the file are a master id, the sample's id, the day, CDs, dollars."""
    rows = [line.split() for line in bundled("CDNOW_sample.txt").read_text().splitlines()]
    return pl.DataFrame(
        {
            "account_id": [row[1] for row in rows],
            "order_day": [datetime.strptime(row[2], "%Y%m%d").date() for row in rows],
            "amount": [float(row[4]) for row in rows],
        }
    )


@pytest.fixture(scope="session")
def cdnow_days(cdnow_rows) -> pl.DataFrame:
    """One row per account and day with an order; `first_day` is the account's first."""
    days = cdnow_rows.group_by("account_id", "order_day").agg(pl.col("amount").sum())
    return days.with_columns(first_day=pl.col("order_day").min().over("account_id"))


@pytest.fixture(scope="session")
def histories(cdnow_days) -> pl.DataFrame:
    """One row per account at the end of the calibration, in order of id; `later_order_days` follow it."""
    is_early = pl.col("order_day") <= CALIBRATION_ENDS
    is_repeat = is_early & (pl.col("order_day") > pl.col("first_day"))
    first, last = pl.col("first_day").first(), pl.col("order_day").filter(is_early).max()
    return (
        cdnow_days.group_by("account_id")
        .agg(
            repeat_order_days=is_repeat.sum().cast(pl.Int64),
            first_to_last_weeks=(last - first).dt.total_days() / 7,
            tenure_weeks=(pl.lit(CALIBRATION_ENDS) - first).dt.total_days() / 7,
            mean_repeat_value=pl.col("amount").filter(is_repeat).mean(),
            later_order_days=(~is_early).sum().cast(pl.Int64),
        )
        .sort("account_id")
    )


@pytest.fixture(scope="session")
def calibration(histories) -> list[np.ndarray]:
    """x, t_x, T of each account."""
    return [histories[name].to_numpy() for name in occasions.HISTORY]


@pytest.fixture(scope="session")
def later(histories) -> np.ndarray:
    """Days with an order in the 39 weeks after the calibration."""
    return histories["later_order_days"].to_numpy()


@pytest.fixture(scope="session")
def summary() -> pl.DataFrame:
    """The same histories as `lifetimes` gives them, rounded to two decimals."""
    names = ["account_id", *occasions.HISTORY, "mean_repeat_value"]
    return pl.read_csv(bundled("cdnow_customers_summary_with_transactions.csv"), new_columns=names)


@pytest.fixture(scope="session")
def bg_nbd(histories):
    return occasions.fit_bg_nbd(histories)


@pytest.fixture(scope="session")
def mbg_nbd(histories):
    return occasions.fit_mbg_nbd(histories)


@pytest.fixture(scope="session")
def pareto_nbd(histories):
    return occasions.fit_pareto_nbd(histories)


@pytest.fixture(scope="session")
def gamma_gamma(histories):
    return values.fit_gamma_gamma(histories.filter(values.HAS_REPEATED))
