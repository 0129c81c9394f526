"""How often the verdict on the bundled firm agrees with its simulated truth, with engagement events and with orders alone.

Run: `uv run python -m tests.benchmarks.verdict_quality`
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from rich.console import Console
from rich.table import Table

from config.settings import Business, load
from flows.runs import EXAMPLE_DATA, example_file, new_run, run_stages
from flows.warehouse import location, opened


def main() -> None:
    """Prints the table."""
    table = Table("input", "line", box=None)
    for heading in ("account lines", "agree", "agree, ambiguous left out", "clients found", "called client rightly"):
        table.add_column(heading, justify="right")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        business = load(example_file())
        truth = pl.read_csv(EXAMPLE_DATA / "truth" / "truth.csv", infer_schema=False)
        for label, each in (("orders and engagement", business), ("orders alone", _orders_alone(business))):
            judged = truth.join(_verdicts(each), on=["account_id", "line"], suffix="_given")
            for (line,), rows in judged.sort("line").group_by("line", maintain_order=True):
                table.add_row(label, "all lines" if line == "*" else str(line), *_figures(rows))
    Console(width=140).print(table)


def _orders_alone(business: Business) -> Business:
    return business.model_copy(
        update={
            "sources": business.sources.model_copy(update={"engagements": ()}),
            "state": Path("state_of_orders_alone"),
            "warehouse": business.warehouse.model_copy(update={"path": Path("orders_alone.duckdb")}),
        }
    )


def _verdicts(business: Business) -> pl.DataFrame:
    for _ in run_stages(new_run(business), lambda stage: None):
        pass
    with opened(location(business)) as con:
        return con.sql("select account_id, line, segment, score from rapport.account_segments").pl()


def _figures(rows: pl.DataFrame) -> list[str]:
    made, given = pl.col("segment") == "client", pl.col("segment_given") == "client"
    clear = rows.filter(pl.col("is_ambiguous") == "false")
    shares = (
        rows.select((made == given).mean()).item(),
        clear.select((made == given).mean()).item(),
        rows.filter(made).select(given.mean()).item(),
        rows.filter(given).select(made.mean()).item(),
    )
    return [f"{rows.height:,}", *("" if share is None else f"{share:.1%}" for share in shares)]


if __name__ == "__main__":
    main()
