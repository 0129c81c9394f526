"""Publishing to the DuckDB warehouse: what becomes visible, what stays, and what is said when it is refused."""

import os
import stat
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from config.errors import WarehouseError
from config.tables import PUBLISHED
from flows import package
from flows.package import PACKAGED
from flows.publishing import Published, publish
from flows.warehouse import live, opened
from tests.packages import AS_OF, ROWS, sealed, seen, whole


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> list[Path]:
    """Sealed packages of generations 0 to 3, the run's number being its generation."""
    directory = tmp_path_factory.mktemp("packages")
    return [sealed(directory / f"run-{n}", f"run-{n}", n) for n in range(4)]


@pytest.fixture
def warehouse(tmp_path) -> Path:
    return tmp_path / "warehouse.duckdb"


def rows(warehouse: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return con.execute(query).fetchall()


def changed_by_hand(warehouse: Path, *statements: str) -> None:
    with duckdb.connect(str(warehouse)) as con:
        for statement in statements:
            con.execute(statement)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_first_publication_makes_the_warehouse_and_its_directory(packages, tmp_path):
    warehouse = tmp_path / "new" / "deep" / "warehouse.duckdb"
    assert publish(packages[1], warehouse) == Published(
        "run-1", warehouse, True, {name: count + 1 for name, count in ROWS.items()}
    )
    assert seen(warehouse) == whole("run-1", 1)
    assert files(warehouse.parent) == {"warehouse.duckdb", "warehouse.duckdb.lock"}


def test_what_is_published_is_what_was_sealed(packages, warehouse):
    publish(packages[1], warehouse)
    for name in PACKAGED:
        with duckdb.connect() as con:
            sealed_rows = con.execute(f"from '{packages[1] / name}.parquet' order by all").fetchall()
        assert rows(warehouse, f"from rapport.{name} order by all") == sealed_rows


def test_the_next_publication_replaces_the_tables_and_adds_to_the_ledger(packages, warehouse):
    publish(packages[3], warehouse)
    publish(packages[2], warehouse)
    assert seen(warehouse) == whole("run-2", 2)
    assert rows(warehouse, "select run_id from rapport.runs order by published_at") == [("run-3",), ("run-2",)]


def test_the_summary_keeps_other_days_and_replaces_its_own(tmp_path, packages, warehouse):
    yesterday = date(2026, 1, 30)
    publish(sealed(tmp_path / "y", "run-y", 3, yesterday), warehouse)
    publish(sealed(tmp_path / "a", "run-a", 2, continues="run-y"), warehouse)
    publish(sealed(tmp_path / "b", "run-b", 1, continues="run-y"), warehouse)
    assert rows(warehouse, "select as_of, count(*) from rapport.segment_summary group by all order by all") == [
        (yesterday, ROWS["segment_summary"] + 3),
        (AS_OF, ROWS["segment_summary"] + 1),
    ]


def test_publishing_a_run_twice_changes_nothing_and_says_so(packages, warehouse):
    first = publish(packages[1], warehouse)
    publish(packages[2], warehouse)
    before = warehouse.read_bytes()
    again = publish(packages[1], warehouse)
    assert (first.changed, again.changed) == (True, False)
    assert (again.run_id, again.rows) == (first.run_id, first.rows)
    assert warehouse.read_bytes() == before


def test_another_result_under_the_id_of_a_published_run_is_refused(tmp_path, packages, warehouse):
    publish(packages[1], warehouse)
    impostor = sealed(tmp_path / "p", "run-1", 2)
    with pytest.raises(WarehouseError) as refused:
        publish(impostor, warehouse)
    assert str(refused.value) == (
        f"package {impostor}: run run-1 was published before with other content."
        " Nothing was published. Repeat the run: it gets an id of its own."
    )
    assert seen(warehouse) == whole("run-1", 1)
    assert files(tmp_path) == {"p", "warehouse.duckdb", "warehouse.duckdb.lock"}


def test_a_package_that_is_not_what_was_sealed_is_refused_before_anything_is_touched(tmp_path, warehouse):
    directory = sealed(tmp_path / "p", "run-1", 1)
    content = bytearray((directory / "account_features.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (directory / "account_features.parquet").write_bytes(content)
    with pytest.raises(WarehouseError) as refused:
        publish(directory, warehouse)
    assert str(refused.value) == (
        f"package {directory}: account_features.parquet is not what was sealed, its sha256 is another."
        " Nothing was published. Repeat the run that made it."
    )
    assert files(tmp_path) == {"p"}


def test_every_column_has_its_type_its_meaning_and_whether_it_may_be_null(packages, warehouse):
    publish(packages[1], warehouse)
    query = """
        select column_name, data_type, comment, is_nullable
        from duckdb_columns() where schema_name = 'rapport' and table_name = '{}' order by column_index
    """
    for name, columns in PUBLISHED.items():
        assert rows(warehouse, query.format(name)) == [
            (column.name, column.type, f"{column.meaning} ({column.unit})", not column.required) for column in columns
        ]


def test_a_missing_required_value_is_refused_by_name(tmp_path, packages, warehouse):
    publish(packages[1], warehouse)
    with duckdb.connect() as con:
        for name in PACKAGED:
            con.execute(f"create table {name} as from '{packages[2] / name}.parquet'")
        con.execute("update account_segments set treatment = null where rowid = 3")
        run = package.verified(con, packages[2]).run
        package.seal(con, tmp_path / "p", run, {name: name for name in PACKAGED})
    with pytest.raises(WarehouseError) as refused:
        publish(tmp_path / "p", warehouse)
    assert str(refused.value) == (
        f"warehouse {warehouse}: Constraint Error: NOT NULL constraint failed: account_segments.treatment."
        " Readers have the last whole publication. Put that right and try again."
    )
    assert seen(warehouse) == whole("run-1", 1)
    assert files(tmp_path) == {"p", "warehouse.duckdb", "warehouse.duckdb.lock"}


def test_clients_of_an_older_database_can_read_the_file(packages, warehouse):
    publish(packages[1], warehouse)
    publish(packages[2], warehouse)
    with opened(warehouse) as con:
        query = "select tags, options from duckdb_databases() where database_name = 'warehouse'"
        assert "v1.5.0" in str(con.execute(query).fetchall())


def test_tables_and_views_of_others_in_the_file_stay(packages, warehouse):
    publish(packages[1], warehouse)
    changed_by_hand(
        warehouse,
        "create table notes as select 'ours' as note",
        "create view clients as select count(*) as n from rapport.account_segments",
    )
    publish(packages[2], warehouse)
    assert rows(warehouse, "from notes, clients") == [("ours", ROWS["account_segments"] + 2)]


def test_a_file_of_others_becomes_a_warehouse_without_losing_anything(packages, warehouse):
    changed_by_hand(warehouse, "create table notes as select 'ours' as note")
    assert live(warehouse) is None
    publish(packages[1], warehouse)
    assert seen(warehouse) == whole("run-1", 1)
    assert rows(warehouse, "from notes") == [("ours",)]


@pytest.mark.parametrize("version", ["v1.0.0", "v1.5.0", "v2.0.0"])
def test_a_file_that_any_version_of_duckdb_made_becomes_a_warehouse(packages, warehouse, version):
    with duckdb.connect() as con:
        con.execute(f"attach '{warehouse}' as ours (storage_version '{version}')")
        con.execute("create table ours.notes as select 'ours' as note")
    publish(packages[1], warehouse)
    assert seen(warehouse) == whole("run-1", 1)
    assert rows(warehouse, "from notes") == [("ours",)]


def test_kept_tables_of_an_earlier_version_get_the_columns_they_lack(packages, warehouse):
    publish(packages[1], warehouse)
    changed_by_hand(
        warehouse,
        "alter table rapport.runs drop column gates",
        "alter table rapport.segment_summary drop column revenue_stability",
        "alter table rapport.account_segments drop column treatment",
    )
    publish(packages[2], warehouse)
    assert seen(warehouse) == whole("run-2", 2)
    assert rows(warehouse, "select run_id, gates from rapport.runs order by all") == [("run-1", None), ("run-2", "{}")]


def test_a_publication_is_later_than_the_last_even_if_the_clock_was_set_back(packages, warehouse):
    publish(packages[1], warehouse)
    changed_by_hand(warehouse, "update rapport.runs set published_at = timestamp '2999-12-31 12:00:00'")
    publish(packages[2], warehouse)
    row = live(warehouse)
    assert row and (row["run_id"], row["published_at"]) == ("run-2", datetime(2999, 12, 31, 12, 0, 0, 1))


def test_the_live_run_is_the_whole_row_of_the_last_publication(packages, warehouse):
    publish(packages[2], warehouse)
    publish(packages[1], warehouse)
    row = live(warehouse)
    with duckdb.connect() as con:
        hashed = package.verified(con, packages[1]).run["content_hash"]
    assert row and abs(datetime.now() - row.pop("published_at")).days <= 1
    assert row == {
        "run_id": "run-1",
        "business": "firm",
        "as_of": AS_OF,
        "known_at": datetime(2026, 2, 1, 6),
        "started_at": datetime(2026, 2, 1, 7),
        "config_hash": "c0",
        "input_hash": "1f",
        "content_hash": hashed,
        "ruler_version": "2026.1",
        "models": "{}",
        "code_version": "0.1.0",
        "accounts": 5,
        "account_lines": 5,
        "row_counts": "{}",
        "gates": "{}",
        "continues_run_id": None,
        "rolled_back_to": None,
        "changed_accounts": 0,
        "changed_share": None,
        "accepted_change": None,
    }


def test_nothing_is_live_in_a_missing_file(warehouse):
    assert live(warehouse) is None
    assert not warehouse.exists()


def test_what_is_live_is_read_anew_though_this_process_has_the_replaced_file_open(packages, warehouse):
    publish(packages[1], warehouse)
    with duckdb.connect(str(warehouse), read_only=True) as con:
        con.execute("from rapport.runs").fetchall()
        publish(packages[2], warehouse)
        row = live(warehouse)
    assert row and row["run_id"] == "run-2"


def test_a_warehouse_behind_a_link_stays_behind_it(packages, tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "volume" / "warehouse.duckdb")
    publish(packages[1], tmp_path / "link.duckdb")
    publish(packages[2], tmp_path / "link.duckdb")
    assert (tmp_path / "link.duckdb").is_symlink()
    assert seen(tmp_path / "volume" / "warehouse.duckdb") == whole("run-2", 2)


def test_who_may_read_the_file_is_not_changed(packages, warehouse):
    publish(packages[1], warehouse)
    group = 1000 if os.getuid() == 0 else os.getgid()
    os.chown(warehouse, -1, group)
    warehouse.chmod(0o640)
    publish(packages[2], warehouse)
    assert (stat.S_IMODE(warehouse.stat().st_mode), warehouse.stat().st_gid) == (0o640, group)


@pytest.mark.parametrize("content", [b"", b"not a database", b"\0" * 100_000])
def test_a_file_that_is_no_database_is_left_as_it_is(packages, warehouse, content):
    warehouse.write_bytes(content)
    warehouse.with_name("warehouse.duckdb.wal").write_bytes(b"writes of another")
    for use in (lambda: publish(packages[1], warehouse), lambda: live(warehouse)):
        with pytest.raises(
            WarehouseError, match=r"it cannot be opened \(IO Error.*\)\. Nothing was changed\. Put back"
        ):
            use()
    assert warehouse.read_bytes() == content
    assert files(warehouse.parent) == {"warehouse.duckdb", "warehouse.duckdb.lock", "warehouse.duckdb.wal"}


def test_a_directory_in_the_place_of_the_file_is_refused(packages, warehouse):
    warehouse.mkdir()
    for use in (lambda: publish(packages[1], warehouse), lambda: live(warehouse)):
        with pytest.raises(WarehouseError, match=r"^warehouse .*: .*directory.*\. "):
            use()


def test_a_file_in_the_place_of_its_directory_is_refused(packages, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match=r"^warehouse .*(File exists|Not a directory).* Readers have"):
        publish(packages[1], tmp_path / "file" / "warehouse.duckdb")


@pytest.mark.parametrize("name", ["it's.duckdb", 'a "name".duckdb', "no suffix", "[ab]*?.duckdb", "ünïcode.db"])
def test_a_warehouse_may_have_any_name(packages, tmp_path, name):
    publish(packages[1], tmp_path / name)
    publish(packages[2], tmp_path / name)
    row = live(tmp_path / name)
    assert row and row["run_id"] == "run-2"
    assert files(tmp_path) == {name, f"{name}.lock"}
