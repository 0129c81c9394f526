"""What calibrating on so many labels does to the accounts of the bundled firm that were not labelled; its truth is simulated.

Run: `uv run python -m tests.benchmarks.calibration`
"""

import os
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from config.scoring import Ruler
from config.settings import load
from flows.runs import EXAMPLE_DATA, example_file, new_run, run_stages
from flows.warehouse import location, opened
from transforms.calibration import LEAST_OF_EACH, Quality, calibrated_ruler, quality
from transforms.score import scores

SAMPLES = 20


def main() -> None:
    """Prints the table."""
    table = Table("labels", box=None)
    for heading in (
        "worse",
        "log-loss as it was",
        "calibrated",
        "as told by the labels",
        "right as it was",
        "calibrated",
    ):
        table.add_column(heading, justify="right")
    accounts, ruler = _accounts()
    random = np.random.default_rng(1)
    for count in (30, 60, 100, 200, 400):
        found = [_calibrated(accounts, ruler, count, random) for _ in range(SAMPLES)]
        worse = sum(after.log_loss > before.log_loss for (before, after, _), _ in found)
        told = [f"{np.mean([each[place].log_loss for each, _ in found]):.3f}" for place in range(3)]
        right = [f"{np.mean([each[place] for _, each in found]):.1%}" for place in range(2)]
        table.add_row(f"{count}", f"{worse} of {SAMPLES}", *told, *right)
    Console(width=120).print(table)


def _accounts() -> tuple[pl.DataFrame, Ruler]:
    """The features of each account line with an order, and whether it was made as a client's."""
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        business = load(example_file())
        truth = pl.read_csv(EXAMPLE_DATA / "truth" / "truth.csv", infer_schema=False)
        for _ in run_stages(new_run(business), lambda stage: None):
            pass
        with opened(location(business)) as con:
            features = con.sql("select * from rapport.account_features where order_days > 0").pl()
    made = truth.filter(pl.col("segment") != "prospect").select(
        "account_id", "line", is_client=pl.col("segment") == "client"
    )
    joined = features.join(made, on=["account_id", "line"]).sort("account_id", "line")
    return joined.with_columns(labelled_on=pl.col("as_of")), business.ruler


def _calibrated(
    accounts: pl.DataFrame, ruler: Ruler, count: int, random: np.random.Generator
) -> tuple[tuple[Quality, Quality, Quality], tuple[float, float]]:
    """Of the accounts not labelled the quality before and after, and shares right at `enter`; and what the labels told."""
    while True:
        chosen = np.isin(np.arange(accounts.height), random.choice(accounts.height, count, replace=False))
        labelled = accounts.filter(chosen)
        if (
            min(labelled.filter(kind)["account_id"].n_unique() for kind in ("is_client", ~pl.col("is_client")))
            >= LEAST_OF_EACH
        ):
            break
    found = calibrated_ruler(labelled, ruler, accounts["as_of"][0])
    others = accounts.filter(~chosen)
    (before, was_right), (after, is_right) = (_quality(others, each) for each in (ruler, found.ruler))
    return (before, after, found.after), (was_right, is_right)


def _quality(accounts: pl.DataFrame, ruler: Ruler) -> tuple[Quality, float]:
    scored = scores(accounts.lazy(), ruler).collect()
    right = ((scored["score"] >= ruler.verdict.enter) == scored["is_client"]).mean()
    return quality(scored["log_odds"].to_numpy(), scored["is_client"].cast(pl.Float64).to_numpy()), float(str(right))


if __name__ == "__main__":
    main()
