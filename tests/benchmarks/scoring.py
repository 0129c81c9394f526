"""What it costs to fit the purchase models and to judge many account lines: the bundled firm's statistics, repeated and shaken.

Run: `uv run python -m tests.benchmarks.scoring [ROWS]`
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import polars as pl

from config.recording import recorded
from config.settings import Business, load
from flows.runs import example_file, new_run
from flows.stages import STAGES, features
from flows.state import connected
from transforms.features import relationship_features
from transforms.judgement import judgement
from transforms.purchases import fitted_models, histories, with_outlook

ROWS = 1_000_000

Result = TypeVar("Result")


def main(rows: int) -> None:
    """Prints CPU seconds and the peak of memory, step by step."""
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        business = load(example_file())
        statistics = _repeated(_statistics(business), rows)
    as_of = new_run(business).as_of
    print(f"{statistics.height:,} account lines, {_peak_gb():.2f} GB before")
    models = _timed("fit the models", lambda: fitted_models(histories(statistics, as_of), None))
    known = _timed("apply the models", lambda: with_outlook(statistics, models, as_of).with_columns(margin_share=1.0))
    computed = _timed(
        "features", lambda: relationship_features(known.lazy(), as_of, recorded(business.sources)).collect()
    )
    _timed("judge", lambda: judgement(computed, known, business.ruler, as_of, business.currency))


def _statistics(business: Business) -> pl.DataFrame:
    run = new_run(business)
    for stage in STAGES[: STAGES.index(features) + 1]:
        stage(run)
    with connected(business, run.folder) as con:
        return con.sql("select * from account_lines order by account_id, line").pl()


def _repeated(statistics: pl.DataFrame, rows: int) -> pl.DataFrame:
    """As many rows as asked for, each with an account of its own, money off by up to a half and last days by up to 20."""
    shake = np.random.default_rng(1)
    copies = pl.concat([statistics] * (rows // statistics.height + 1)).head(rows).with_row_index("copy")
    factor = pl.Series(shake.integers(50, 150, rows)) / 100
    later = pl.duration(days=pl.lit(pl.Series(shake.integers(0, 20, rows))))
    money = [pl.col(name) * factor for name in ("revenue_12m", "revenue_total", "repeat_revenue")]
    return copies.with_columns(
        *(each.cast(pl.Decimal(18, 4)) for each in money),
        account_id=pl.format("{} {}", "account_id", "copy"),
        first_order_on=pl.col("first_order_on") - later,
    ).drop("copy")


def _timed(what: str, step: Callable[[], Result]) -> Result:
    began = time.process_time()
    result = step()
    print(f"{what:16} {time.process_time() - began:6.2f} CPU-s, peak {_peak_gb():.2f} GB")
    return result


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
