"""Days in the warehouse: periods of segments and standings, days that are taken back, copies that are exchanged."""

import stat
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from config.errors import WarehouseError
from config.tables import PUBLISHED
from flows import package
from flows.history import published_hashes, runs_before, standings_before
from flows.publishing import publish
from flows.warehouse import Stamp, copied, exchange
from tests.packages import ledger_row, tables

FIRST = date(2026, 3, 1)


@pytest.fixture
def warehouse(tmp_path) -> Path:
    return tmp_path / "warehouse.duckdb"


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def sealed(
    folder: Path, run_id: str, number: int, continues: str | None, changes: Sequence[tuple], standings: str = ""
) -> Path:
    """A package of a day: its changes as account and segment (None where it left), its new standings as accounts."""
    with duckdb.connect() as con:
        names = tables(con, run_id, 0, day(number))
        for name in ("segment_changes", "verdict_standings"):
            con.execute(f"delete from {name}")
        for account, segment in changes:
            _insert(con, "segment_changes", as_of=day(number), account_id=account, segment=segment)
        for account in standings:
            _insert(con, "verdict_standings", valid_from=day(number), account_id=account, segment=f"{number}")
        package.seal(con, folder / run_id, ledger_row(run_id, day(number), continues), names)
    return folder / run_id


def _insert(con: duckdb.DuckDBPyConnection, name: str, **values: object) -> None:
    given = {"line": "all", "change": "moved", "because": "score", "segment_since": FIRST} | values
    row = {column.name: given.get(column.name) for column in PUBLISHED[name]}
    con.execute(f"insert into {name} values ({', '.join('?' for _ in row)})", list(row.values()))


def published(warehouse: Path, folder: Path, *days: tuple, back: bool = False) -> None:
    """Publishes days, each given as number, changes and standings, one after the other."""
    for number, changes, standings in days:
        before = next(iter(runs_before(warehouse, day(number))), None)
        run_id = f"run-{number}-{len(list(folder.glob('run-*')))}"
        continues = before["run_id"] if before else None
        sealed(folder, run_id, number, continues, changes, standings)
        publish(folder / run_id, warehouse, takes_later_days_back=back)


def periods(warehouse: Path, table: str = "account_segment_history") -> list[tuple]:
    """The periods as account, segment, first and last day, the days as numbers."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return con.execute(
            f"select account_id, segment, valid_from - $first, valid_to - $first from rapport.{table} order by all",
            {"first": FIRST},
        ).fetchall()


FOUR_DAYS = (
    (0, [("A", "client"), ("B", "customer")], "AB"),
    (1, [], ""),
    (2, [("A", "customer"), ("C", "prospect")], "AC"),
    (5, [("B", None), ("A", "client")], "A"),
)


def test_a_period_ends_the_day_before_the_next_one_and_lasts_while_it_has_no_end(tmp_path, warehouse):
    published(warehouse, tmp_path, *FOUR_DAYS)
    assert periods(warehouse) == [
        ("A", "client", 0, 1),
        ("A", "client", 5, None),
        ("A", "customer", 2, 4),
        ("B", "customer", 0, 4),
        ("C", "prospect", 2, None),
    ]
    assert periods(warehouse, "verdict_standings") == [
        ("A", "0", 0, 1),
        ("A", "2", 2, 4),
        ("A", "5", 5, None),
        ("B", "0", 0, 4),
        ("C", "2", 2, None),
    ]


def test_an_account_that_comes_back_has_two_periods(tmp_path, warehouse):
    published(warehouse, tmp_path, (0, [("A", "client")], "A"), (3, [("A", None)], ""), (7, [("A", "customer")], "A"))
    assert periods(warehouse) == [("A", "client", 0, 2), ("A", "customer", 7, None)]
    assert periods(warehouse, "verdict_standings") == [("A", "0", 0, 2), ("A", "7", 7, None)]


def test_a_day_published_again_takes_the_place_of_what_it_was(tmp_path, warehouse):
    published(warehouse, tmp_path, *FOUR_DAYS)
    published(warehouse, tmp_path, (5, [("C", "customer")], "C"))
    assert periods(warehouse) == [
        ("A", "client", 0, 1),
        ("A", "customer", 2, None),
        ("B", "customer", 0, None),
        ("C", "customer", 5, None),
        ("C", "prospect", 2, 4),
    ]
    assert periods(warehouse, "verdict_standings") == [
        ("A", "0", 0, 1),
        ("A", "2", 2, None),
        ("B", "0", 0, None),
        ("C", "2", 2, 4),
        ("C", "5", 5, None),
    ]


def test_what_a_day_went_on_from_is_what_the_day_before_left_whatever_came_after(tmp_path, warehouse):
    def standing(number: int) -> dict[str, str]:
        rows = standings_before(warehouse, day(number)).select("account_id", "segment").rows()
        assert len(dict(rows)) == len(rows)
        return dict(rows)

    seen = {}
    for each in FOUR_DAYS:
        published(warehouse, tmp_path, each)
        seen[each[0] + 1] = standing(each[0] + 1)
    assert seen == {
        1: {"A": "0", "B": "0"},
        2: {"A": "0", "B": "0"},
        3: {"A": "2", "B": "0", "C": "2"},
        6: {"A": "5", "C": "2"},
    }
    assert {number: standing(number) for number in seen} == seen
    assert standing(0) == {}


def test_the_run_that_a_day_goes_on_from_is_the_latest_of_the_last_day_before(tmp_path, warehouse):
    published(warehouse, tmp_path, FOUR_DAYS[0], FOUR_DAYS[1], FOUR_DAYS[1])
    runs = [[run["run_id"] for run in runs_before(warehouse, day(number))] for number in (0, 1, 2, 9)]
    assert runs == [[], ["run-0-0"], ["run-1-2", "run-0-0"], ["run-1-2", "run-0-0"]]


def test_a_day_before_the_last_one_is_refused(tmp_path, warehouse):
    published(warehouse, tmp_path, *FOUR_DAYS)
    before = warehouse.read_bytes()
    late = sealed(tmp_path, "late", 3, "run-2-2", [("A", "client")])
    with pytest.raises(WarehouseError) as refused:
        publish(late, warehouse)
    assert str(refused.value) == (
        f"package {late}: 2026-03-04 lies before 2026-03-06, the last day published. Nothing was published. "
        "A backfill replays a day in the past and those after it."
    )
    assert warehouse.read_bytes() == before


def test_a_backfill_takes_the_later_days_back(tmp_path, warehouse):
    published(warehouse, tmp_path, *FOUR_DAYS)
    published(warehouse, tmp_path, (1, [("B", "client")], "B"), back=True)
    assert periods(warehouse) == [("A", "client", 0, None), ("B", "client", 1, None), ("B", "customer", 0, 0)]
    assert list(published_hashes(warehouse)) == [day(0), day(1)]


def test_a_package_that_goes_on_from_another_past_is_refused(tmp_path, warehouse):
    published(warehouse, tmp_path, FOUR_DAYS[0])
    stale = sealed(tmp_path, "stale", 5, "run-0-0", [])
    published(warehouse, tmp_path, FOUR_DAYS[1])
    with pytest.raises(WarehouseError, match="it goes on from another past than what is published of the days before"):
        publish(stale, warehouse)
    assert list(published_hashes(warehouse)) == [day(0), day(1)]


def test_a_copy_that_was_changed_in_private_becomes_the_warehouse(tmp_path, warehouse):
    published(warehouse, tmp_path, *FOUR_DAYS[:2])
    copy = tmp_path / "private" / "copy.duckdb"
    as_copied = copied(warehouse, copy)
    published(copy, tmp_path, *FOUR_DAYS[2:])
    assert periods(warehouse) == [("A", "client", 0, None), ("B", "customer", 0, None)]
    warehouse.chmod(0o640)
    exchange(copy, warehouse, as_copied, "backfill", datetime.now(UTC))
    assert stat.S_IMODE(warehouse.stat().st_mode) == 0o640
    assert periods(warehouse) == periods(copy)
    assert list(published_hashes(warehouse)) == [day(0), day(1), day(2), day(5)]


def test_a_copy_does_not_take_the_place_of_what_was_published_since(tmp_path, warehouse):
    published(warehouse, tmp_path, FOUR_DAYS[0])
    copy = tmp_path / "copy.duckdb"
    as_copied = copied(warehouse, copy)
    published(copy, tmp_path, FOUR_DAYS[1])
    published(warehouse, tmp_path, FOUR_DAYS[2])
    assert_not_exchanged(copy, warehouse, as_copied)


def test_a_copy_does_not_take_the_place_of_what_another_program_wrote_since(tmp_path, warehouse):
    published(warehouse, tmp_path, FOUR_DAYS[0])
    copy = tmp_path / "copy.duckdb"
    as_copied = copied(warehouse, copy)
    published(copy, tmp_path, FOUR_DAYS[1])
    with duckdb.connect(str(warehouse)) as con:
        con.execute("create table notes as select 'of another' as note")
    assert_not_exchanged(copy, warehouse, as_copied)


def assert_not_exchanged(copy: Path, warehouse: Path, as_copied: Stamp) -> None:
    before = warehouse.read_bytes()
    with pytest.raises(
        WarehouseError,
        match=r"another run or program wrote to it since .*copy.duckdb was made of it\. Nothing was changed",
    ):
        exchange(copy, warehouse, as_copied, "backfill", datetime.now(UTC))
    assert warehouse.read_bytes() == before


def test_of_a_warehouse_that_is_not_there_the_copy_is_none_either(tmp_path, warehouse):
    copy = tmp_path / "copy.duckdb"
    copy.write_text("left behind")
    copied(warehouse, copy)
    assert not copy.exists()
