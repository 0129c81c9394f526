"""Features and verdicts are computed slice by slice: the tables are those of one slice, and an account is never cut apart."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from config.settings import load
from config.tables import KEYS
from flows import slices
from flows.package import PACKAGED
from flows.runs import at_work, new_run, run_stages
from flows.warehouse import opened
from tests.end_to_end.serving import small_firm

DAYS = (date(2026, 1, 31), date(2026, 2, 27))
TWO_LINES = (
    "account_id: account\n        line: \"case when cast(number as integer) % 5 < 2 then 'law' else 'shop' end\""
)
DECISIONS = """
overrides:
  - account_id: A3
    segment: client
    reason: a friend of the house
    author: kim
    from: 2026-02-01
    until: 2026-06-30
"""


def published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple]]:
    """What two days leave in the warehouse of a firm with two lines and an account decided by hand."""
    file = small_firm(folder)
    monkeypatch.chdir(folder)
    (folder / "decisions.yaml").write_text(DECISIONS)
    with_lines = file.read_text().replace("account_id: account", TWO_LINES, 1)
    file.write_text(f"{with_lines}decisions: decisions.yaml\n")
    for day in DAYS:
        run = new_run(load(file), as_of=day, accept_change="a test")
        with at_work(run):
            list(run_stages(run, lambda stage: None))
    with opened(folder / "warehouse.duckdb") as con:
        return {name: _rows(con, name) for name in PACKAGED if name != "quarantine"}


def _rows(con: duckdb.DuckDBPyConnection, name: str) -> list[tuple]:
    columns = [column for (column,) in con.execute(f"select column_name from (describe rapport.{name})").fetchall()]
    shown = ", ".join(column for column in columns if column != "run_id")
    return con.execute(f"select {shown} from rapport.{name} order by {', '.join(KEYS[name])}").fetchall()


@pytest.mark.parametrize("rows", [1, 3])
def test_the_tables_are_those_of_one_slice(tmp_path, monkeypatch, rows):
    whole = published(tmp_path / "whole", monkeypatch)
    lines = [row for row in whole["account_segments"] if row[1] != "*"]
    assert len({row[0] for row in lines}) < len(lines), "no account has two lines"
    monkeypatch.setattr(slices, "ROWS", rows)
    assert published(tmp_path / "sliced", monkeypatch) == whole
