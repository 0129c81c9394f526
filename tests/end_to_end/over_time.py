"""A firm whose accounts come and go within days, its nights and its backfills, and all that they publish."""

import json
from collections.abc import Iterable
from contextlib import chdir
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from config.settings import load
from flows.runs import at_work, new_run, run_stages
from tests.ingest import FIRM, ORDERS, csv, source

FIRST = date(2025, 9, 27)
DATA_FROM = date(2025, 6, 1)
COLUMNS = ORDERS | {"line": "line", "is_recurring": "cast(recurring as boolean)"}
HEADER = "id,no,account,line,at,amount,recurring"
RULER = """
version: quick-1
origin: judgement
base: 0
features:
  days_since_last_order: {weight: -1.5, neutral: 9, scale: 4}
  order_days_12m: {weight: 0.4, neutral: 8, scale: 4}
verdict: {enter: 60, leave: 45, enter_days: 2, leave_days: 3, dwell_days: 5}
stages: {new_days: 30, usual_gap_days: 10, at_risk_gaps: 2, lapsed_gaps: 4}
"""
# Differ between two runs of the same result, and tell only who ran.
WHO_RAN = {"run_id", "batch"}
TABLES = (
    "account_segments",
    "account_features",
    "account_segment_history",
    "segment_changes",
    "segment_summary",
    "verdict_standings",
    "quarantine",
)


def day(number: int) -> date:
    """The day so many days after the first."""
    return FIRST + timedelta(days=number)


def orders() -> list[str]:
    """Orders of ten accounts, each with pauses of its own, in two lines; A7 has contracts, A9 comes late, A10 gives all back."""
    lines = []
    for account in range(1, 10):
        since = FIRST + timedelta(days=3) if account == 9 else DATA_FROM
        for number in range(220):
            on = since + timedelta(days=number)
            if (number // (5 + 3 * account)) % 2 == 0 and number % (1 + account % 4) == 0:
                line = "law" if account % 3 else "shop"
                recurring = account == 7 and number % 40 == 0
                lines.append(f"{account}-{number},1,A{account},{line},{on} 10:00,{50 + number % 7},{recurring}")
    back = FIRST + timedelta(days=4)
    lines += [f"10-{n},1,A10,law,2025-09-1{n} 10:00,80,false" for n in range(3)]
    lines += [f"10-{n},2,A10,law,{back} 10:00,-80,false" for n in range(3)]
    return lines


def written(folder: Path, rows: Iterable[str] | None = None, decisions: str | None = None, **more: Any) -> Path:
    """Writes the firm into a folder, and gives its business file."""
    folder.mkdir(parents=True, exist_ok=True)
    csv(folder, "orders.csv", HEADER, *(orders() if rows is None else rows))
    (folder / "quick.yaml").write_text(RULER)
    told = FIRM | {
        "state": "state",
        "scoring": "quick.yaml",
        "sources": {"orders": [source("orders.csv", COLUMNS)], "engagements": []},
        "gates": {"changed_share": 1.0},
    }
    if decisions is not None:
        told["decisions"] = "decisions.yaml"
        (folder / "decisions.yaml").write_text(decisions)
    (folder / "firm.yaml").write_text(json.dumps(told | more))
    return folder / "firm.yaml"


def night(
    number: int, known_at: datetime | None = None, accept_change: str | None = None, dry_run: bool = False
) -> str:
    """Runs one night in the working directory, and gives what became of it."""
    run = new_run(
        load(Path("firm.yaml")), as_of=day(number), known_at=known_at, accept_change=accept_change, dry_run=dry_run
    )
    with at_work(run):
        return list(run_stages(run, announce=lambda _: None))[-1].did


def nights(folder: Path, count: int) -> Path:
    """Writes the firm into a folder, runs so many nights there, and gives the folder."""
    written(folder)
    with chdir(folder):
        for number in range(count):
            night(number)
    return folder


def content(folder: Path) -> dict[str, list[tuple]]:
    """All that readers see but who ran, and of the ledger each day's content hash as it was published last."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as con:
        found = {}
        for table in TABLES:
            names = [row[0] for row in con.execute(f"describe rapport.{table}").fetchall()]
            listed = ", ".join(name for name in names if name not in WHO_RAN)
            found[table] = con.execute(f"select {listed} from rapport.{table} order by all").fetchall()
        found["runs"] = con.execute(
            "select as_of, arg_max(content_hash, published_at), arg_max(changed_accounts, published_at) "
            "from rapport.runs group by as_of order by as_of"
        ).fetchall()
    return found


def ledger(folder: Path, columns: str) -> list[tuple]:
    """Columns of the ledger of runs, in the order of their publication."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as con:
        return con.execute(f"select {columns} from rapport.runs order by published_at").fetchall()


def known_now() -> datetime:
    """This instant in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
