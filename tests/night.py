"""A night's work on rows in memory: the statements of `sql/` and the functions of `transforms/`, without files."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import polars as pl

from config.rules import KINDS
from config.scoring import Ruler
from config.tables import ENGAGEMENTS, ORDERS, Column, Table
from flows.conform import keep_latest
from flows.duck import materialise
from flows.ledger import DAILY, LEDGER_TABLES, REDUCED, ROLES, days_of
from tests import oracle
from transforms.features import relationship_features
from transforms.holding import NO_OVERRIDES, NO_STANDINGS
from transforms.judgement import held_verdicts, judgement
from transforms.purchase_models.fits import LineFit
from transforms.purchase_models.occasions import MbgNbd
from transforms.purchase_models.values import GammaGamma
from transforms.purchases import PurchaseModels, with_outlook

Row = dict[str, Any]

MODELS = PurchaseModels(
    occasions={line: LineFit(MbgNbd(*oracle.MBG_NBD), "own", None) for line in ("all", "law", "shop")},
    values={
        line: LineFit(GammaGamma(*oracle.GAMMA_GAMMA, correlation=0.0), "own", None) for line in ("all", "law", "shop")
    },
)

STATEMENTS = (
    "staging/silent_returns",
    "staging/order_lines",
    "staging/contacts",
    *(f"ledger/{name}" for name in LEDGER_TABLES),
    *REDUCED["account_statistics"],
    *DAILY,
    "features/account_lines",
)
"""What is made of the rows that stand, up to `account_lines`."""

EVERYTHING = frozenset((*(column.name for column in (*ORDERS, *ENGAGEMENTS)), *KINDS))
POLARS_TYPES = {
    "VARCHAR": pl.String,
    "TIMESTAMP": pl.Datetime("us"),
    "DATE": pl.Date,
    "DOUBLE": pl.Float64,
    "INTEGER": pl.Int32,
    "BIGINT": pl.Int64,
    "BOOLEAN": pl.Boolean,
    "DECIMAL(18,4)": pl.Decimal(18, 4),
}


def checked(conformed: Table, day: str) -> Table:
    """The columns of a `checked_` table."""
    return (
        Column("source", "VARCHAR", "name", ""),
        Column("batch", "VARCHAR", "id", ""),
        Column("position", "BIGINT", "row", ""),
        Column("delivered_at", "TIMESTAMP", "UTC", ""),
        *conformed,
        Column(day, "DATE", "day", ""),
        Column("reason", "VARCHAR", "text", ""),
    )


CHECKED_ORDERS = checked(ORDERS, "ordered_on")
CHECKED_ENGAGEMENTS = checked(ENGAGEMENTS, "occurred_on")


@dataclass(frozen=True)
class Night:
    """What a night computes.

    Attributes:
        statistics: `account_lines`, one row per account x line.
        features: of the same rows, in the same order.
        scored: the same rows with score, raw segment, stage.
        segments: as published: the same rows and the roll-ups, with reasons.
        summary: `segment_summary`.
    """

    statistics: pl.DataFrame
    features: pl.DataFrame
    scored: pl.DataFrame
    segments: pl.DataFrame
    summary: pl.DataFrame


def memory(threads: int = 1, timezone: str = "UTC") -> duckdb.DuckDBPyConnection:
    """A connection to an empty database in memory."""
    con = duckdb.connect(":memory:", config={"threads": threads})
    con.execute(f"set TimeZone = '{timezone}'")
    return con


def fill(con: duckdb.DuckDBPyConnection, table: str, columns: Table, rows: Iterable[Row]) -> None:
    """Makes a table of these rows; each has its place as its position."""
    schema = {column.name: POLARS_TYPES[column.type] for column in columns}
    given = [row | {"position": position} for position, row in enumerate(rows)]
    con.register("given", pl.DataFrame(given, schema=schema))
    con.execute(f"create or replace table {table} as select * from given")
    con.unregister("given")


def conformed(con: duckdb.DuckDBPyConnection, orders: Iterable[Row], engagements: Iterable[Row]) -> None:
    """Fills `orders` and `engagements` from checked rows."""
    fill(con, "checked_orders", CHECKED_ORDERS, orders)
    fill(con, "checked_engagements", CHECKED_ENGAGEMENTS, engagements)
    stand(con)


def stand(con: duckdb.DuckDBPyConnection) -> None:
    """Makes `orders` and `engagements` of the checked rows."""
    for role in ROLES:
        keep_latest(con, role)
        materialise(con, f"staging/{role}")


def statistics(
    con: duckdb.DuckDBPyConnection, orders: Iterable[Row], engagements: Iterable[Row], as_of: date
) -> pl.DataFrame:
    """`account_lines` of these rows."""
    conformed(con, orders, engagements)
    return reduced(con, as_of)


def reduced(con: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    """`account_lines` of the rows in `orders` and `engagements`."""
    for name in STATEMENTS:
        materialise(con, name, days_of(as_of))
    return con.sql("select * from account_lines order by account_id, line").pl()


def features(
    con: duckdb.DuckDBPyConnection, orders: Iterable[Row], engagements: Iterable[Row], as_of: date
) -> pl.DataFrame:
    """The features of these rows, where the business records every column."""
    return featured(statistics(con, orders, engagements, as_of), as_of)


def featured(statistics: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The features of these statistics, by purchase models with the parameters of the oracle."""
    outlook = with_outlook(statistics, MODELS, as_of).with_columns(margin_share=1.0)
    return relationship_features(outlook.lazy(), as_of, EVERYTHING).collect()


def night(
    con: duckdb.DuckDBPyConnection,
    orders: Iterable[Row],
    engagements: Iterable[Row],
    as_of: date,
    ruler: Ruler,
    standings: pl.DataFrame = NO_STANDINGS,
) -> Night:
    """A whole night on these rows, in the steps of `flows.stages`, after a day that left these standings."""
    conformed(con, orders, engagements)
    return judged(con, as_of, ruler, standings)


def judged(con: duckdb.DuckDBPyConnection, as_of: date, ruler: Ruler, standings: pl.DataFrame = NO_STANDINGS) -> Night:
    """A whole night on the rows in `orders` and `engagements`."""
    known = reduced(con, as_of)
    found = featured(known, as_of)
    scored = held_verdicts(found, known, ruler, as_of, standings, NO_OVERRIDES)
    segments = judgement(found, known, ruler, as_of, "USD", standings).verdicts
    con.register("account_features", found)
    con.register("account_segments", segments)
    con.register("verdicts", segments)
    con.register("standings_before", standings)
    con.register("merged_accounts", standings.clear().select("account_id"))
    for name in ("segment_summary", "segment_changes", "verdict_standings"):
        materialise(con, f"warehouse/{name}", {"as_of": as_of})
    return Night(known, found, scored, segments, con.sql("select * from segment_summary").pl())


def by_account(frame: pl.DataFrame) -> dict[tuple[str, str], Row]:
    """The rows of a frame by account and line."""
    return {(row["account_id"], row["line"]): row for row in frame.to_dicts()}
