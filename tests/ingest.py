"""A small firm in a folder of its own, and what becomes of its files: landed, conformed, counted."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from config.scoring import Ruler
from config.settings import Business, load
from flows.batches import Batch
from flows.conform import check_rows, keep_latest, quarantine, row_counts
from flows.duck import connect, materialise
from flows.forgotten import forgotten
from flows.landing import land
from flows.ledger import ROLES
from flows.stages import Run, _batches

Row = dict[str, Any]

NIGHT = datetime(2026, 1, 15, 2, tzinfo=UTC)
AS_OF = date(2026, 1, 14)

ORDERS = {"order_id": "id", "line_number": "no", "account_id": "account", "ordered_at": "at", "amount": "amount"}
FIRM: Row = {
    "business": "Two rooms",
    "timezone": "America/New_York",
    "currency": "USD",
    "scoring": "scoring/mixed.yaml",
    "warehouse": {"kind": "duckdb", "path": "warehouse.duckdb"},
}
EVENTS = {"event_id": "id", "account_id": "account", "occurred_at": "at", "kind": "kind", "direction": "direction"}


@dataclass(frozen=True)
class Ingested:
    """What became of the rows of a firm: the conformed tables, the quarantine, and the counts.

    Attributes:
        orders: the conformed table.
        engagements: the conformed table.
        quarantine: the refused rows of both.
        counts: per source the rows read, accepted, superseded and quarantined.
    """

    orders: list[Row]
    engagements: list[Row]
    quarantine: list[Row]
    counts: dict[str, tuple[int, int, int, int]]


def source(path: str, columns: Mapping[str, Any] = ORDERS, name: str = "shop", **more: Any) -> Row:
    """A source of files."""
    return {"name": name, "kind": "files", "path": path, "columns": dict(columns)} | more


def firm(*orders: Row, engagements: Iterable[Row] = (), **more: Any) -> Business:
    """The firm with these sources; paths are relative to the working directory."""
    told = {"state": "state"} | FIRM | more | _sources(orders, engagements)
    return Business.model_validate(told | {"name": "firm", "ruler": _ruler(), "state": Path(told["state"])})


def firm_file(folder: Path, *orders: Row, engagements: Iterable[Row] = (), **more: Any) -> Path:
    """The business file of the firm with these sources."""
    file = folder / "firm.yaml"
    file.write_text(json.dumps({"state": "state"} | FIRM | more | _sources(orders, engagements)), encoding="utf-8")
    return file


def _sources(orders: Iterable[Row], engagements: Iterable[Row]) -> Row:
    return {"sources": {"orders": list(orders), "engagements": list(engagements)}}


@cache
def _ruler() -> Ruler:
    with tempfile.TemporaryDirectory() as folder:
        return load(firm_file(Path(folder), source("shop.csv"))).ruler


def csv(folder: Path, name: str, *lines: str) -> Path:
    """A file of these lines."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def landed(business: Business, now: datetime = NIGHT, again: bool = False) -> list[Batch]:
    """Lands what is new or changed in each source."""
    return [
        batch
        for role in ROLES
        for each in getattr(business.sources, role)
        for batch in land(
            _connection(), role, each, business.state / "landed", now, again, forgotten=forgotten(business.state)
        )
    ]


def ingested(business: Business, known_at: datetime | None = None) -> Ingested:
    """What became of all that is landed, or of what was known at a time (UTC, without a zone)."""
    run = Run(business, "run", AS_OF, known_at, NIGHT)
    batches = {role: _batches(run, role) for role in ROLES}
    con = _connection()
    for role, (counted, _) in batches.items():
        check_rows(con, business, role, run.landed, counted)
    quarantine(con, run.landed, [batch for counted, _ in batches.values() for batch in counted])
    for role in ROLES:
        keep_latest(con, role)
        materialise(con, f"staging/{role}")
    counts = [count for role in ROLES for count in row_counts(con, role, *batches[role])]
    return Ingested(
        table(con, "orders"),
        table(con, "engagements"),
        table(con, "quarantine"),
        {each.source: (each.read, each.accepted, each.superseded, each.quarantined) for each in counts},
    )


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """One for all tests: each makes its tables anew."""
    return connect(firm(source("shop.csv")))


def table(con: duckdb.DuckDBPyConnection, name: str) -> list[Row]:
    """The rows of a table, in the order of their values."""
    found = con.execute(f"select * from {name} order by all")
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def taken_in(*orders: Row, engagements: Iterable[Row] = (), **more: Any) -> Ingested:
    """What becomes of the files of a firm in one night."""
    business = firm(*orders, engagements=engagements, **more)
    landed(business)
    return ingested(business)


def column(rows: Iterable[Row], *names: str) -> list[Any]:
    """Of each row one value, or a tuple of several."""
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]
