"""What it costs to fit the purchase models, beside `lifetimes` on the same rows in an environment of its own.

Run: `uv run python -m tests.benchmarks.purchase_models [ROWS]`
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from transforms.purchase_models.fits import Fit
from transforms.purchase_models.occasions import fit_mbg_nbd
from transforms.purchase_models.values import HAS_REPEATED, fit_gamma_gamma

ROWS = 100_000
DAYS = 700
PEER = Path(__file__).with_name("lifetimes_peer.py")


def main(rows: int) -> None:
    """Prints CPU seconds and parameters of both, and how many times as long `lifetimes` takes."""
    accounts = histories(rows, np.random.default_rng(1))
    ours = {
        "MBG/NBD": _fitted(fit_mbg_nbd, accounts),
        "Gamma-Gamma": _fitted(fit_gamma_gamma, accounts.filter(HAS_REPEATED)),
    }
    theirs = _of_lifetimes(accounts)
    table = Table(f"{rows:,} accounts", "rapport", "lifetimes", "ratio", "parameters", "of lifetimes", box=None)
    for name, (seconds, parameters) in ours.items():
        peer = theirs[name]
        table.add_row(
            name,
            f"{seconds:.2f} CPU-s",
            f"{peer['cpu_seconds']:.2f} CPU-s",
            f"{peer['cpu_seconds'] / seconds:.1f} x",
            " ".join(f"{value:.4g}" for value in parameters[: len(peer["parameters"])]),
            " ".join(f"{value:.4g}" for value in peer["parameters"]),
        )
    Console(width=140).print(table)


def histories(rows: int, random: np.random.Generator) -> pl.DataFrame:
    """Accounts that buy and drop out as MBG/NBD says, in whole days, and spend as Gamma-Gamma says."""
    tenure, rate = random.integers(0, DAYS, rows), random.gamma(0.5, 1 / 6.0, rows) / 7
    chance, spend_rate = random.beta(0.9, 1.6, rows), random.gamma(3.74, 1 / 15.44, rows)
    repeats, last_day, moment = np.zeros(rows, int), np.zeros(rows, int), np.zeros(rows)
    active = np.flatnonzero(random.random(rows) > chance)
    while active.size:
        moment[active] += random.exponential(1 / np.maximum(rate[active], 1e-12))
        active = active[moment[active] <= tenure[active]]
        day = moment[active].astype(int)
        repeats[active] += day > last_day[active]
        last_day[active] = day
        active = active[random.random(active.size) > chance[active]]
    some = np.maximum(repeats, 1)
    return pl.DataFrame(
        {
            "repeat_order_days": repeats,
            "first_to_last_weeks": last_day / 7,
            "tenure_weeks": tenure / 7,
            "mean_repeat_value": random.gamma(6.25 * some, 1 / spend_rate) / some,
        }
    )


def _fitted(fit: Callable[[pl.DataFrame], Fit[Any]], accounts: pl.DataFrame) -> tuple[float, list[float]]:
    began = time.process_time()
    found = fit(accounts)
    return time.process_time() - began, list(astuple(found.model))


def _of_lifetimes(accounts: pl.DataFrame) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        file = Path(folder, "histories.csv")
        accounts.write_csv(file)
        command = ["uv", "run", "--isolated", "--no-project", "--with", "lifetimes", "python", str(PEER), str(file)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
