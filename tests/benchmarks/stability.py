"""How often an account flips between client and customer in a year, with the verdict held and by each day's score alone.

Replays weeks of the bundled firm, and of completejourney where that is installed.

Run: `uv run --extra examples python -m tests.benchmarks.stability [WEEKS]`
"""

import os
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from rich.console import Console
from rich.table import Table

from config.settings import Business, load
from flows.backfill import new_backfill, replay
from flows.runs import BUNDLED, example_file
from flows.warehouse import opened

WEEKS = 26
LAST_DAYS = {"hartley": date(2025, 12, 31), "completejourney": date(2017, 12, 31)}


def main(weeks: int) -> None:
    """Prints the table."""
    table = Table("business", "weeks", box=None)
    for heading in ("account lines", "flips a year, by score alone", "flips a year, held", "seconds a day"):
        table.add_column(heading, justify="right")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        for file in (example_file(), BUNDLED / "completejourney.yaml"):
            table.add_row(file.stem, str(weeks), *_figures(load(file), LAST_DAYS[file.stem], weeks))
    Console(width=140).print(table)


def _figures(business: Business, last_day: date, weeks: int) -> list[str]:
    business = business.model_copy(update={"state": Path(business.name)})
    before, flips, lines, costs = None, {"raw_segment": 0, "segment": 0}, 0, []
    for now, seconds in _days(business, last_day, weeks):
        costs.append(seconds)
        if before is not None:
            both = before.join(now, on=["account_id", "line"], suffix="_now")
            lines += both.height
            for name in flips:
                settled = both.filter(pl.col(name) != "prospect", pl.col(f"{name}_now") != "prospect")
                flips[name] += settled.filter(pl.col(name) != pl.col(f"{name}_now")).height
        before = now
    years = lines / (365.25 / 7)
    later = costs[1:]
    return [
        f"{lines / weeks:,.0f}",
        *(f"{flips[name] / years:.3f}" for name in ("raw_segment", "segment")),
        f"{costs[0]:.1f}, then {sum(later) / len(later):.1f}",
    ]


def _days(business: Business, last_day: date, weeks: int) -> Iterator[tuple[pl.DataFrame, float]]:
    """The verdicts of each day, and what it cost."""
    backfill = new_backfill(business, last_day - timedelta(weeks=weeks), last_day, "week")
    for each in replay(backfill):
        with opened(backfill.copy) as con:
            found = con.sql(
                "select account_id, line, raw_segment, segment from rapport.account_segments where line <> '*'"
            )
            yield found.pl(), sum(cost.cpu_seconds for cost in each.costs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else WEEKS)
