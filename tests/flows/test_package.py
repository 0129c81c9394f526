"""The sealed package: its content hash, its seal, and what is refused."""

import json
import random
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import WarehouseError
from config.tables import PUBLISHED
from flows import package
from flows.disk import sha256_of
from tests.packages import ROWS, ledger_row, sealed, tables
from tests.waiting import WAIT_SECONDS


@pytest.fixture
def con():
    with duckdb.connect() as connection:
        yield connection


def test_the_database_hashes_a_row_as_it_did_for_the_hashes_in_ledgers(con):
    row = """
        'A1', 'a line of more than twelve letters, é', date '2026-01-31', 61.25::double, 17::bigint,
        1234.5600::decimal(18, 4), true, timestamp '2026-02-01 07:00:00', null
    """
    assert con.execute(f"select hash({row})").fetchall() == [(16021614232184432646,)]


@given(seed=st.integers(), threads=st.integers(1, 4), zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_the_hash_knows_no_order_threads_or_time_zone(seed, threads, zone):
    with duckdb.connect(config={"threads": threads}) as con:
        names = tables(con, "run-1", 1)
        expected = package.content_hash(con, names)
        con.execute(f"set TimeZone = '{zone}'")
        con.execute(f"select setseed({random.Random(seed).random()})")
        for name in names:
            con.execute(f"create or replace table {name} as from {name} order by random()")
        assert package.content_hash(con, names) == expected


def test_another_run_with_the_same_result_has_the_same_hash(con):
    assert package.content_hash(con, tables(con, "run-1", 1)) == package.content_hash(con, tables(con, "run-2", 1))


TOLD_APART = {"run_id", "batch", "position"}


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column.name) for name in ROWS for column in PUBLISHED[name]],
)
def test_a_change_of_one_value_changes_the_hash_unless_it_tells_runs_apart(con, name, column):
    names = tables(con, "run-1", 1)
    before = package.content_hash(con, names)
    type_ = next(each.type for each in PUBLISHED[name] if each.name == column)
    changed = {"VARCHAR": "'other'", "DATE": "date '1999-12-31'", "BOOLEAN": "false"}.get(type_, "99")
    con.execute(f"update {name} set {column} = {changed} where rowid = 0")
    assert (package.content_hash(con, names) == before) == (column in TOLD_APART)


@pytest.mark.parametrize(
    "change",
    [
        "update account_segments set previous_segment = null where rowid = 0",
        "update account_segments set previous_segment = '' where rowid = 0",
        "insert into account_segments from account_segments limit 1",
        "delete from account_segments where rowid = 0",
        "update account_segments set score = score + 1e-15 where rowid = 0",
    ],
)
def test_missing_empty_doubled_lost_and_nearly_equal_values_are_differences(con, change):
    names = tables(con, "run-1", 1)
    con.execute("update account_segments set previous_segment = 'customer'")
    hashes = {package.content_hash(con, names)}
    con.execute(change)
    assert package.content_hash(con, names) not in hashes


def test_two_values_exchanged_between_rows_are_a_difference(con):
    names = tables(con, "run-1", 1)
    con.execute("update account_segments set score = rowid")
    before = package.content_hash(con, names)
    con.execute("update account_segments set score = 1 - score where rowid < 2")
    assert package.content_hash(con, names) != before


def test_minus_zero_is_zero(con):
    names = tables(con, "run-1", 0)
    before = package.content_hash(con, names)
    con.execute("update account_segments set score = -0.0::double")
    assert package.content_hash(con, names) == before


def test_the_hash_of_a_table_is_that_of_its_published_types(con, tmp_path):
    names = tables(con, "run-1", 1)
    con.execute("alter table account_segments alter revenue_12m type decimal(38, 2)")
    con.execute("alter table account_features alter order_days type integer")
    loose = package.content_hash(con, names)
    assert package.seal(con, tmp_path / "p", ledger_row("run-1"), names).run["content_hash"] == loose
    assert loose == package.content_hash(con, tables(con, "run-1", 1))


def test_a_sealed_package_reads_back_as_it_was(con, tmp_path):
    written = package.seal(con, tmp_path / "p", ledger_row("run-1"), tables(con, "run-1", 1))
    assert package.verified(con, tmp_path / "p") == written
    assert written.rows == {name: rows + 1 for name, rows in ROWS.items()}
    assert written.run == {
        **ledger_row("run-1"),
        "as_of": "2026-01-31",
        "known_at": "2026-02-01T06:00:00",
        "started_at": "2026-02-01T07:00:00",
        "content_hash": package.content_hash(con, {name: name for name in ROWS}),
    }
    for name in ROWS:
        assert con.execute(f"from {name}").fetchall() == con.execute(f"from {written.relation(name)}").fetchall()


def in_parts(con: duckdb.DuckDBPyConnection, folder: Path, name: str, *conditions: str) -> list[Path]:
    """The rows of a table as one file for each condition on them."""
    folder.mkdir()
    files = [folder / package.part(name, number) for number in range(len(conditions))]
    for file, condition in zip(files, conditions, strict=True):
        con.execute(f"copy (from {name} where {condition}) to '{file}'")
    return files


def test_a_table_that_comes_in_files_is_sealed_as_one(con, tmp_path):
    names = tables(con, "run-1", 1)
    files = in_parts(con, tmp_path / "computed", "account_segments", "account_id < 'A4'", "account_id >= 'A4'")
    whole = package.seal(con, tmp_path / "whole", ledger_row("run-1"), names)
    parted = package.seal(con, tmp_path / "parted", ledger_row("run-1"), names | {"account_segments": files})
    assert package.verified(con, tmp_path / "parted") == parted
    assert (parted.run, parted.rows) == (whole.run, whole.rows)
    assert (
        con.execute(f"from {parted.relation('account_segments')}").fetchall()
        == (
            con.execute(
                "from account_segments where account_id < 'A4' union all from account_segments where account_id >= 'A4'"
            )
        ).fetchall()
    )
    assert all(file.exists() for file in files), "a stage that is tried again would find nothing"


def test_rows_of_one_key_in_two_files_are_not_sealed(con, tmp_path):
    names = tables(con, "run-1", 1)
    files = in_parts(con, tmp_path / "computed", "account_segments", "true", "account_id = 'A1'")
    with pytest.raises(WarehouseError, match=r"account_segments: 1 keys .* first \('A1', 'generation 1'\)"):
        package.seal(con, tmp_path / "p", ledger_row("run-1"), names | {"account_segments": files})


@pytest.mark.parametrize("change", ["gone", "another"])
def test_a_package_with_other_files_of_a_table_is_refused(con, tmp_path, change):
    names = tables(con, "run-1", 1)
    files = in_parts(con, tmp_path / "computed", "account_segments", "account_id < 'A4'", "account_id >= 'A4'")
    package.seal(con, tmp_path / "p", ledger_row("run-1"), names | {"account_segments": files})
    if change == "gone":
        (tmp_path / "p/account_segments.0001.parquet").unlink()
        fault = r"account_segments\.0001\.parquet is missing"
    else:
        (tmp_path / "p/account_segments.0002.parquet").write_bytes(files[0].read_bytes())
        fault = r"account_segments\.0002\.parquet is not what was sealed, manifest\.json does not name it"
    with pytest.raises(WarehouseError, match=fault):
        package.verified(con, tmp_path / "p")


def test_times_with_a_zone_are_written_in_utc(con, tmp_path):
    started_at = con.execute("select timestamptz '2026-02-01 09:00:00+02'").fetchall()[0][0]
    run = ledger_row("run-1") | {"started_at": started_at}
    assert package.seal(con, tmp_path / "p", run, tables(con, "run-1", 1)).run["started_at"] == "2026-02-01T07:00:00"


def test_sealing_again_replaces_the_package_and_what_an_attempt_left(con, tmp_path):
    sealed(tmp_path / "p", "run-1", 1)
    (tmp_path / "p.sealing").mkdir()
    (tmp_path / "p.sealing" / "account_segments.parquet").write_bytes(b"half")
    sealed(tmp_path / "p", "run-1", 2)
    assert package.verified(con, tmp_path / "p").rows["quarantine"] == ROWS["quarantine"] + 2
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_two_rows_of_one_key_are_not_sealed(con, tmp_path):
    names = tables(con, "run-1", 1)
    con.execute("insert into account_segments from account_segments where account_id in ('A1', 'A3')")
    with pytest.raises(WarehouseError) as refused:
        package.seal(con, tmp_path / "p", ledger_row("run-1"), names)
    assert str(refused.value) == (
        "account_segments: 2 keys (account_id, line) have more than one row, first ('A1', 'generation 1')."
        " Nothing was published. It is a mistake of Rapport: please report it."
    )
    assert not (tmp_path / "p").exists()


@pytest.fixture(scope="module")
def sealed_once(tmp_path_factory):
    return sealed(tmp_path_factory.mktemp("sealed") / "p", "run-1", 1)


@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_package_with_any_bit_flipped_is_refused(sealed_once, data):
    path = data.draw(st.sampled_from(sorted(sealed_once.iterdir())))
    content = path.read_bytes()
    position, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    flipped = content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
    path.write_bytes(flipped)
    with duckdb.connect() as con, pytest.raises(WarehouseError, match=f"package .*: {path.name} "):
        package.verified(con, sealed_once)
    path.write_bytes(content)


@pytest.mark.parametrize("name", [*(f"{table}.parquet" for table in ROWS), "manifest.json"])
def test_a_package_without_one_of_its_files_is_refused(con, tmp_path, name):
    directory = sealed(tmp_path / "p", "run-1", 1)
    (directory / name).unlink()
    with pytest.raises(WarehouseError, match=rf"{name} (is missing|cannot be read).* Nothing was published\."):
        package.verified(con, directory)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"null", b"{}", b'{"run": {}, "files": {}}', b"\xff"])
def test_a_manifest_that_nobody_sealed_is_refused(con, tmp_path, manifest):
    directory = sealed(tmp_path / "p", "run-1", 1)
    (directory / "manifest.json").write_bytes(manifest)
    with pytest.raises(WarehouseError, match=r"manifest.json (cannot be read|is not what was sealed)"):
        package.verified(con, directory)


def rewritten(directory: Path, change) -> None:
    """Seals a changed manifest, as another version or a mistaken hand might have."""
    manifest = json.loads((directory / "manifest.json").read_text())
    del manifest["sha256"]
    change(manifest)
    (directory / "manifest.json").write_text(json.dumps(manifest | {"sha256": package._seal_of(manifest)}))


def test_a_package_with_another_number_of_rows_than_its_manifest_says_is_refused(con, tmp_path):
    directory = sealed(tmp_path / "p", "run-1", 1)
    rewritten(directory, lambda manifest: manifest["files"]["quarantine.parquet"].update(rows=4))
    with pytest.raises(WarehouseError, match=r"quarantine.parquet has 3 rows, manifest.json says 4\. Nothing"):
        package.verified(con, directory)


def test_a_package_of_a_version_with_fewer_tables_is_refused(con, tmp_path):
    directory = sealed(tmp_path / "p", "run-1", 1)
    rewritten(directory, lambda manifest: manifest["files"].pop("quarantine.parquet"))
    with pytest.raises(WarehouseError, match="it has no quarantine, another version of Rapport made it"):
        package.verified(con, directory)


def test_a_package_with_other_columns_is_refused(con, tmp_path):
    directory = sealed(tmp_path / "p", "run-1", 1)
    path = directory / "quarantine.parquet"
    other = tmp_path / "other.parquet"
    con.execute(f"copy (select source, batch, position::int as position, reason, row_json from '{path}') to '{other}'")
    other.replace(path)
    rewritten(directory, lambda it: it["files"]["quarantine.parquet"].update(sha256=sha256_of(path)))
    with pytest.raises(WarehouseError, match=r"quarantine.parquet has other columns than this version"):
        package.verified(con, directory)


def test_a_run_killed_while_it_seals_leaves_no_package(tmp_path):
    script = """
import os, signal, sys
from pathlib import Path
from tests.packages import sealed

def killed_at_the_manifest(event, args):
    if event == "open" and str(args[0]).endswith("manifest.json"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(killed_at_the_manifest)
sealed(Path(sys.argv[1]), "run-1", 1)
"""
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "p")], timeout=WAIT_SECONDS, check=False)
    assert ended.returncode == -9
    assert not (tmp_path / "p").exists()
    sealed(tmp_path / "p", "run-1", 1)
    with duckdb.connect() as con:
        assert package.verified(con, tmp_path / "p").run["run_id"] == "run-1"


def test_a_directory_with_the_signs_of_a_glob_is_only_a_directory(con, tmp_path):
    sealed(tmp_path / "p1", "run-1", 1)
    directory = sealed(tmp_path / "p[1]*?'s", "run-2", 2)
    relation = package.verified(con, directory).relation("account_segments")
    assert con.execute(f"select distinct run_id from {relation}").fetchall() == [("run-2",)]
