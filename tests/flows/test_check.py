"""`rapport check`: it tells before the run what the run would stumble over, and leaves no trace."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from config.errors import ConfigurationError, GateRefused, SourceError, WarehouseError
from flows.check import SAMPLE_ROWS, Checked, checks
from tests.ingest import EVENTS, ORDERS, csv, firm, source

HEADER = "id,no,account,at,amount"
MAIL = "id,account,at,kind,direction"
GOOD = [f"o{row},1,A{row % 3},2025-12-{1 + row:02},10.00" for row in range(8)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_thing_that_a_run_needs_is_looked_at(folder):
    csv(folder, "in/a.csv", HEADER, *GOOD[:4])
    csv(folder, "in/b.csv", HEADER, *GOOD[4:])
    csv(folder, "mail.csv", MAIL, "e1,A1,2025-12-01,call,inbound")
    assert checks(firm(source("in/*.csv"), engagements=[source("mail.csv", EVENTS, "mail")])) == [
        Checked("configuration", "21 features, ruler mixed-1"),
        Checked("warehouse", "warehouse.duckdb, nothing published yet"),
        Checked("orders, source shop", "2 files, 8 rows looked at, all fit"),
        Checked("engagements, source mail", "1 files, 1 rows looked at, all fit"),
    ]


def test_nothing_is_landed_or_published(folder):
    csv(folder, "shop.csv", HEADER, *GOOD)
    checks(firm(source("shop.csv")))
    assert [each.name for each in folder.iterdir()] == ["shop.csv"]


def test_a_day_that_has_not_come_is_refused_as_by_a_run(folder):
    csv(folder, "shop.csv", HEADER, *GOOD)
    with pytest.raises(ConfigurationError, match=r"^as_of: 2999-12-31 lies in the future"):
        checks(firm(source("shop.csv"), as_of=date(2999, 12, 31)))


def test_only_the_first_rows_of_a_file_are_looked_at(folder):
    csv(
        folder,
        "shop.csv",
        HEADER,
        *(f"o{row},1,A,2025-12-01,1" for row in range(SAMPLE_ROWS)),
        *["o,1,,,"] * SAMPLE_ROWS,
    )
    assert checks(firm(source("shop.csv")))[2].found == "1 files, 1,000 rows looked at, all fit"


def test_what_is_unfit_is_told_with_its_first_key_even_where_a_run_would_pass(folder):
    csv(folder, "shop.csv", HEADER, *GOOD, "o8,1,,2025-12-01,1", "broken")
    assert checks(firm(source("shop.csv")))[2].found == (
        "1 files, 10 rows looked at, 1 account_id is missing (first order_id 'o8'); "
        "1 the line cannot be read: Expected Number of Columns: 5 Found: 1"
    )


def test_more_unfit_rows_than_a_run_lets_pass_are_refused(folder):
    csv(folder, "shop.csv", HEADER, *GOOD, "o8,1,,2025-12-01,1", "o9,1,,2025-12-01,1")
    assert len(checks(firm(source("shop.csv")))) == 3
    csv(folder, "shop.csv", HEADER, *GOOD[1:], "o8,1,,2025-12-01,1", "o9,1,,2025-12-01,1")
    with pytest.raises(GateRefused) as refused:
        checks(firm(source("shop.csv")))
    assert str(refused.value) == (
        "orders (source shop): 2 of 9 rows looked at are unfit (22.22%; the limit is 20%): 2 account_id is missing "
        "(first order_id 'o8'). A run would be refused. Correct the source or the mapping."
    )


def test_a_source_of_orders_without_rows_is_refused(folder):
    csv(folder, "shop.csv", HEADER)
    with pytest.raises(GateRefused, match=r"^orders \(source shop\): there are no rows\. A run would be refused"):
        checks(firm(source("shop.csv")))


def test_a_source_that_cannot_be_read_is_told_as_in_a_run(folder):
    csv(folder, "shop.csv", HEADER, *GOOD)
    with pytest.raises(SourceError, match="there is no column net, which amount is read from"):
        checks(firm(source("shop.csv", ORDERS | {"amount": "net"})))


def test_a_warehouse_that_cannot_be_opened_is_told(folder):
    csv(folder, "shop.csv", HEADER, *GOOD)
    Path("warehouse.duckdb").write_text("not a database")
    with pytest.raises(WarehouseError, match=r"^warehouse warehouse\.duckdb: it cannot be opened"):
        checks(firm(source("shop.csv")))


def test_what_stands_in_the_warehouse_is_told(folder):
    csv(folder, "shop.csv", HEADER, *GOOD)
    with duckdb.connect("warehouse.duckdb") as con:
        con.execute("create schema rapport")
        con.execute(
            "create table rapport.runs as select 'r1' as run_id, date '2026-01-14' as as_of, "
            "timestamp '2026-01-15 02:00' as published_at"
        )
    assert checks(firm(source("shop.csv")))[1].found == "warehouse.duckdb, as of 2026-01-14, by run r1"
