"""Landing: what a source holds is kept as it was, once a version, with what it was read from."""

import gzip
import json
import os
import random
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from config.errors import SourceError
from flows.batches import Batch, batches, current, verify
from flows.landing import land
from tests.ingest import EVENTS, NIGHT, ORDERS, column, csv, firm, ingested, landed, source, taken_in

HEADER = "id,no,account,at,amount"
FIRST = "o1,1,A,2026-01-05,10.00"
SECOND = "o2,1,B,2026-01-06,20.00"
NEXT_NIGHT = NIGHT + timedelta(days=1)
NIGHT_AFTER = NIGHT + timedelta(days=2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def accounts(*orders: dict[str, Any], **more: Any) -> list[str]:
    return column(taken_in(*orders, **more).orders, "account_id")


def refusal(*orders: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SourceError) as refused:
        landed(firm(*orders, **more))
    return str(refused.value)


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    con = duckdb.connect()
    found = con.execute(f"select * from read_parquet('{batch.path(Path('state/landed'))}')")
    names = [each[0] for each in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_a_batch_holds_the_columns_that_the_mapping_reads_as_they_are(folder):
    csv(folder, "shop.csv", "name," + HEADER, "Zoë," + FIRST, "Max," + SECOND)
    [batch] = landed(firm(source("shop.csv")))
    assert rows_of(batch) == [
        {"account": "A", "amount": "10.00", "at": "2026-01-05", "id": "o1", "no": "1", "row_md5": None},
        {"account": "B", "amount": "20.00", "at": "2026-01-06", "id": "o2", "no": "1", "row_md5": None},
    ]


def test_a_manifest_says_what_was_read_from_where_and_when(folder):
    csv(folder, "shop.csv", HEADER, FIRST, "broken", SECOND)
    [batch] = landed(firm(source("shop.csv")))
    told = json.loads(Path(f"state/landed/shop/{batch.batch}.json").read_text())
    assert {name: told[name] for name in ("role", "source", "origin", "rows", "broken_lines", "known_at")} == {
        "role": "orders",
        "source": "shop",
        "origin": "shop.csv",
        "rows": 2,
        "broken_lines": 1,
        "known_at": "2026-01-15T02:00:00",
    }
    assert batches(Path("state/landed"), "shop") == [batch]


def test_a_glob_takes_in_each_file_that_fits_by_name(folder):
    csv(folder, "in/2026/b.csv", HEADER, SECOND)
    csv(folder, "in/2025/a.csv", HEADER, FIRST)
    csv(folder, "in/2025/a.txt", "not this one")
    (folder / "in/2025/c.csv").mkdir()
    found = landed(firm(source("in/**/*.csv")))
    assert [batch.origin for batch in found] == ["in/2025/a.csv", "in/2026/b.csv"]


def test_a_file_is_found_by_an_absolute_path_too(folder):
    csv(folder, "in [1]/shop.csv", HEADER, FIRST)
    [batch] = landed(firm(source(str(folder / "in [[]1]" / "*.csv"))))
    assert (batch.origin, batch.rows) == (str(folder / "in [1]" / "shop.csv"), 1)


@pytest.mark.parametrize("path", ["account=ZZ/shop.csv", "account=ZZ/shop.parquet", "~shop.csv", "shop [1].csv"])
def test_what_a_file_or_its_folder_is_called_is_no_value_of_its_rows(folder, path):
    file = csv(folder, path, HEADER, FIRST, SECOND)
    if file.suffix == ".parquet":
        plain = csv(folder, "plain.csv", HEADER, FIRST, SECOND)
        duckdb.execute(f"copy (from read_csv('{plain}')) to '{file}' (format parquet)")
    (folder / "account=YY").mkdir()
    assert accounts(source(path), state="account=YY/state") == ["A", "B"]


def test_data_of_a_package_is_known_by_the_package_and_not_by_where_it_is_installed(folder, monkeypatch):
    for place in ("here", "there"):
        csv(folder, f"{place}/carrier/data/shop.csv", HEADER, FIRST)
        (folder / place / "carrier/__init__.py").touch()
    business = firm(source("data/*.csv", kind="dataset", package="carrier"))
    monkeypatch.syspath_prepend(folder / "here")
    [batch] = landed(business)
    assert batch.origin == "carrier/data/shop.csv"
    monkeypatch.setattr("sys.path", [str(folder / "there")])
    assert landed(business, NEXT_NIGHT) == []


def test_an_unchanged_file_is_landed_once(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    business = firm(source("shop.csv"))
    assert len(landed(business)) == 1
    assert landed(business, NEXT_NIGHT) == []
    (folder / "shop.csv").touch()
    assert landed(business, NIGHT_AFTER) == []


def test_a_file_landed_again_on_demand_replaces_what_was_landed_of_it(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    business = firm(source("shop.csv"))
    [first] = landed(business)
    [second] = landed(business, NEXT_NIGHT, again=True)
    assert first.batch != second.batch
    assert current(batches(Path("state/landed"), "shop")) == [second]


def test_a_changed_file_replaces_its_earlier_version_whose_rows_are_superseded(folder):
    csv(folder, "shop.csv", HEADER, FIRST, "broken")
    business = firm(source("shop.csv"))
    landed(business)
    csv(folder, "shop.csv", HEADER, SECOND)
    landed(business, NEXT_NIGHT)
    found = ingested(business)
    assert column(found.orders, "order_id") == ["o2"]
    assert found.quarantine == []
    assert found.counts == {"shop": (3, 1, 2, 0)}


def test_a_file_that_gets_back_its_earlier_content_counts_with_that(folder):
    business = firm(source("shop.csv"))
    for content, night in ((FIRST, NIGHT), (SECOND, NEXT_NIGHT), (FIRST, NIGHT_AFTER)):
        csv(folder, "shop.csv", HEADER, content)
        assert len(landed(business, night)) == 1
    found = ingested(business)
    assert column(found.orders, "order_id") == ["o1"]
    assert found.counts["shop"] == (3, 1, 2, 0)


def test_two_sources_of_the_same_file_both_count(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    twice = firm(source("shop.csv"), source("shop.csv", ORDERS | {"line": "'again'"}, name="till"))
    landed(twice)
    assert column(ingested(twice).orders, "source", "line") == [("shop", "all"), ("till", "again")]


def test_a_file_that_is_gone_stays_counted(folder):
    csv(folder, "in/a.csv", HEADER, FIRST)
    csv(folder, "in/b.csv", HEADER, SECOND)
    business = firm(source("in/*.csv"))
    landed(business)
    (folder / "in/a.csv").unlink()
    assert landed(business, NEXT_NIGHT) == []
    assert column(ingested(business).orders, "order_id") == ["o1", "o2"]


@pytest.mark.parametrize("empty", ["[]", " [ ]\n"])
def test_a_day_without_events_may_be_an_empty_array_and_one_that_became_empty_has_no_rows(folder, empty):
    row = {"id": "o1", "no": 1, "key": "k1", "at": "2026-01-05", "amount": 10}
    (folder / "a.json").write_text(json.dumps([row]))
    (folder / "b.json").write_text(empty)
    csv(folder, "accounts.csv", "key,account_no", "k1,A")
    shop = source(
        "*.json", ORDERS | {"account_id": ["owner", "account_no"]}, lookups=[{"path": "accounts.csv", "on": ["key"]}]
    )
    business = firm(shop)
    assert [batch.rows for batch in landed(business)] == [1, 0]
    assert ingested(business).counts == {"shop": (1, 1, 0, 0)}
    (folder / "a.json").write_text(empty)
    assert [batch.rows for batch in landed(business, NEXT_NIGHT)] == [0]
    assert ingested(business).counts == {"shop": (1, 0, 1, 0)}


def test_a_clock_that_was_set_back_makes_no_later_version_an_earlier_one(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    business = firm(source("shop.csv"))
    landed(business, NEXT_NIGHT)
    csv(folder, "shop.csv", HEADER, SECOND)
    [second] = landed(business, NIGHT)
    assert second.known_at == datetime(2026, 1, 16, 2, 0, 0, 1)
    assert column(ingested(business).orders, "order_id") == ["o2"]


def test_only_what_was_known_by_then_counts(folder):
    csv(folder, "in/a.csv", HEADER, FIRST)
    business = firm(source("in/*.csv"))
    landed(business, NIGHT)
    csv(folder, "in/a.csv", HEADER, FIRST.replace("10.00", "11.00"))
    csv(folder, "in/b.csv", HEADER, SECOND)
    landed(business, NEXT_NIGHT)
    then = ingested(business, known_at=NIGHT.replace(tzinfo=None))
    assert column(then.orders, "order_id", "amount") == [("o1", 10)]
    assert then.counts["shop"] == (1, 1, 0, 0)
    assert column(ingested(business, known_at=None).orders, "order_id", "amount") == [("o1", 11), ("o2", 20)]
    before = NIGHT.replace(tzinfo=None) - timedelta(microseconds=1)
    assert ingested(business, known_at=before).counts == {}


def test_a_mapping_that_reads_another_column_lands_the_file_again(folder):
    csv(folder, "shop.csv", HEADER + ",net", FIRST + ",9.00")
    landed(firm(source("shop.csv")))
    business = firm(source("shop.csv", ORDERS | {"amount": "net"}))
    assert len(landed(business, NEXT_NIGHT)) == 1
    assert column(ingested(business).orders, "amount") == [9]


def test_a_mapping_that_computes_otherwise_from_the_same_columns_lands_nothing(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    landed(firm(source("shop.csv")))
    business = firm(source("shop.csv", ORDERS | {"amount": "cast(amount as decimal(18, 2)) * 2"}))
    assert landed(business, NEXT_NIGHT) == []
    assert column(ingested(business).orders, "amount") == [20]


def test_another_key_of_the_rows_lands_the_file_again(folder):
    csv(folder, "shop.csv", HEADER, FIRST, FIRST.replace("o1,1", "o1,"))
    landed(firm(source("shop.csv")))
    business = firm(source("shop.csv", ORDERS | {"line_number": "nullif(no, '1')"}))
    assert len(landed(business, NEXT_NIGHT)) == 1


def test_a_file_that_is_gone_and_lacks_a_column_of_the_new_mapping_has_to_come_back(folder):
    csv(folder, "in/a.csv", HEADER + ",net", FIRST + ",9.00")
    csv(folder, "in/b.csv", HEADER + ",net", SECOND + ",19.00")
    landed(firm(source("in/*.csv")))
    (folder / "in/a.csv").unlink()
    business = firm(source("in/*.csv", ORDERS | {"amount": "net"}))
    landed(business, NEXT_NIGHT)
    with pytest.raises(SourceError) as refused:
        ingested(business)
    assert str(refused.value) == (
        "orders (source shop), file in/a.csv: there is no column net, which amount is read from.\n"
        "Its columns are account, amount, at, id, no. No other was landed of it on 2026-01-15, and it is gone. "
        "Nothing was published. Bring the file back, or give the column a list of alternatives."
    )


def test_of_alternatives_the_first_that_a_file_has_is_taken(folder):
    csv(folder, "in/a.csv", HEADER, FIRST)
    csv(folder, "in/b.csv", HEADER.replace("account", "AccountID") + ",account", SECOND + ",not this")
    csv(folder, "in/c.csv", HEADER.replace("account", "client"), "o3,1,C,2026-01-07,30.00")
    columns = ORDERS | {"account_id": ["accountid", "account", "client"]}
    assert accounts(source("in/*.csv", columns)) == ["A", "B", "C"]


def test_a_column_that_is_missing_is_told_with_the_nearest_and_all_there_are(folder):
    csv(folder, "shop.csv", "id,no,acount,at,net", FIRST)
    assert refusal(source("shop.csv", ORDERS | {"amount": ["gross", "value"]})) == (
        "orders (source shop), file shop.csv: there is no column account, which account_id is read from. "
        "Did you mean acount?\n"
        "orders (source shop), file shop.csv: there is no column gross, value, which amount is read from.\n"
        "Its columns are id, no, acount, at, net. Nothing was read from it. "
        "Correct the mapping or the source, or give the column a list of alternatives."
    )


@pytest.mark.parametrize(
    "row",
    [
        FIRST,
        "o1,1,Jane Doe,jane@example.com,x",
        "o1,1,jane@example.com,Jane@example.com,x",
        "INV-1,C-7,Jane Doe,01/05/2026,x",
        "INV-1,C-7,Jane Doe,then,$12.50",
        "o1,Jane account,Jane Doe,jane@example.com,x",
    ],
)
def test_a_file_without_its_header_is_told_without_its_values(folder, row):
    csv(folder, "shop.csv", row, SECOND)
    told = refusal(source("shop.csv"))
    assert "The names of its columns look like the values of a row: is the header missing?" in told
    assert not any(value in told for value in ("2026-01-05", "10.00", "Jane", "example"))


def test_a_name_that_rapport_keeps_for_itself_is_refused(folder):
    csv(folder, "shop.csv", HEADER + ",File_Row_Number", FIRST + ",7")
    assert refusal(source("shop.csv", ORDERS | {"quantity": "file_row_number"})) == (
        "orders (source shop), file shop.csv: Rapport keeps the name file_row_number for itself. Nothing was read. "
        "Rename the column in the source."
    )
    assert accounts(source("shop.csv")) == ["A"]


@pytest.mark.parametrize(
    "name", ["source", "batch", "position", "known_at", "reason", "fault", "filename", "landed", "known"]
)
def test_a_column_may_have_a_name_that_the_pipeline_uses(folder, name):
    csv(folder, "shop.csv", HEADER + f",{name}", FIRST + ",7")
    assert column(taken_in(source("shop.csv", ORDERS | {"category": name})).orders, "category") == ["7"]


# lookups


LOOKUP = {"path": "accounts.csv", "on": ["key"]}
LOOKED_UP = ORDERS | {"account_id": "account_no"}


def looked_up(folder: Path, *lines: str, keys: tuple[str, ...] = ("k1", "k2", "k9", "")) -> dict[str, Any]:
    csv(folder, "accounts.csv", *lines)
    rows = [f"o{number},1,x,2026-01-05,10.00,{key}" for number, key in enumerate(keys)]
    csv(folder, "shop.csv", HEADER + ",key", *rows)
    return source("shop.csv", LOOKED_UP, lookups=[LOOKUP])


def test_a_lookup_adds_its_columns_to_the_rows_that_it_knows_and_loses_none(folder):
    found = taken_in(looked_up(folder, "key,account_no", "k1,A", "k2,B", "k3,C"))
    assert column(found.orders, "order_id", "account_id") == [("o0", "A"), ("o1", "B")]
    assert column(found.quarantine, "reason") == ["account_id is missing"] * 2


def test_a_column_that_both_have_is_that_of_the_file(folder):
    given = looked_up(folder, "key,account,account_no", "k1,wrong,right", keys=("k1",))
    given["columns"] |= {"account_id": "concat(account, '/', account_no)"}
    assert accounts(given) == ["x/right"]


def test_a_lookup_finds_a_number_that_another_file_keeps_as_text(folder):
    duckdb.execute("copy (select 7.0 as key, 'A' as account_no) to 'accounts.parquet' (format parquet)")
    given = looked_up(folder, "key", keys=("7", "x"))
    found = taken_in(given | {"lookups": [{"path": "accounts.parquet", "on": ["key"]}]})
    assert column(found.orders, "order_id", "account_id") == [("o0", "A")]


def test_a_lookup_by_several_columns_matches_all_of_them(folder):
    csv(folder, "accounts.csv", "key,no,account_no", "k1,1,A", "k1,2,B")
    csv(folder, "shop.csv", HEADER + ",key", "o1,2,x,2026-01-05,10.00,k1")
    given = source("shop.csv", LOOKED_UP, lookups=[{"path": "accounts.csv", "on": ["key", "no"]}])
    assert accounts(given) == ["B"]


def test_a_lookup_whose_key_is_not_unique_would_double_rows_and_is_refused(folder):
    assert refusal(looked_up(folder, "key,account_no", "k1,A", "k1,B", ",C", ",D")) == (
        "orders (source shop), lookup accounts.csv: 1 values of key stand there more than once, first k1, and would "
        "double rows. Nothing was read. Make the key of a lookup unique."
    )


def test_a_lookup_with_a_broken_line_is_refused(folder):
    assert refusal(looked_up(folder, "key,account_no", "k1,A", "k2", "k3,C")) == (
        "orders (source shop), lookup accounts.csv: 1 lines cannot be read, the first is 3 "
        "(Expected Number of Columns: 2 Found: 1). Nothing was read. "
        "Correct the file: a lookup counts only as a whole."
    )


def test_broken_lines_are_counted_once_where_the_source_has_a_lookup(folder):
    given = looked_up(folder, "key,account_no", "k1,A", keys=("k1",))
    with (folder / "shop.csv").open("a") as file:
        file.write("broken\n")
    assert taken_in(given).counts == {"shop": (2, 1, 0, 1)}


@pytest.mark.parametrize(
    ("lookup", "told"),
    [
        ({"path": "gone.csv", "on": ["key"]}, "lookup gone.csv: there is no such file. Nothing was read. Bring it, or"),
        (
            {"path": "accounts.csv", "on": ["id"]},
            "lookup accounts.csv: there is no column id, by which it is looked up. Its columns are key, account_no. ",
        ),
        (
            {"path": "accounts.csv", "on": ["account_no"]},
            "file shop.csv, looked up in orders (source shop), lookup accounts.csv: there is no column account_no, by",
        ),
    ],
)
def test_a_lookup_that_cannot_be_made_is_told(folder, lookup, told):
    given = looked_up(folder, "key,account_no", "k1,A")
    assert told in refusal(given | {"lookups": [lookup]})


def test_a_changed_lookup_lands_the_files_again(folder):
    given = looked_up(folder, "key,account_no", "k1,A", keys=("k1",))
    business = firm(given)
    landed(business)
    csv(folder, "accounts.csv", "key,account_no", "k1,B")
    assert len(landed(business, NEXT_NIGHT)) == 1
    assert column(ingested(business).orders, "account_id") == ["B"]


def test_another_key_of_a_lookup_lands_the_files_again(folder):
    csv(folder, "accounts.csv", "key,no,account_no", "k1,1,A", "k2,2,B")
    csv(folder, "shop.csv", HEADER + ",key", "o1,2,x,2026-01-05,10.00,k1")
    given = source("shop.csv", LOOKED_UP, lookups=[{"path": "accounts.csv", "on": ["key"]}])
    landed(firm(given))
    assert accounts(given | {"lookups": [{"path": "accounts.csv", "on": ["no"]}]}) == ["B"]


# what a file may not be


def test_a_source_without_a_file_is_told_with_the_place_looked_in(folder):
    assert refusal(source("in/*.csv")) == (
        "orders (source shop): no file matches in/*.csv. Nothing was read. Bring the file, or correct the path; "
        f"it is looked for from {folder}."
    )


def test_a_package_that_is_not_installed_is_told(folder):
    for package in ("no_such_package", "this"):  # the second is a module of one file
        told = refusal(source("data/*.csv", kind="dataset", package=package))
        assert told.startswith(
            f"orders (source shop): the package {package} is not installed. Nothing was read. Install"
        )


def test_a_file_that_the_system_does_not_let_read_is_told(folder):
    (folder / "shop.csv").symlink_to("/proc/self/mem")
    told = refusal(source("shop.csv"))
    assert told.startswith("orders (source shop), file shop.csv: it is not a file that can be read (")


def test_a_file_whose_name_is_not_in_utf_8_is_told(folder):
    Path(os.fsdecode(b"Auftr\xe4ge.csv")).write_text(f"{HEADER}\n{FIRST}\n")
    assert refusal(source("*.csv")) == (
        "orders (source shop): the names of 1 files are not in UTF-8, the first is Auftr\N{REPLACEMENT CHARACTER}ge.csv. "
        "Nothing was read. Rename them."
    )


def test_one_bad_file_leaves_what_is_landed_of_the_others(folder):
    csv(folder, "in/a.csv", HEADER, FIRST)
    csv(folder, "in/b.csv", "<html>")
    business = firm(source("in/*.csv"))
    with pytest.raises(SourceError):
        landed(business)
    csv(folder, "in/b.csv", HEADER, SECOND)
    assert [batch.origin for batch in landed(business, NEXT_NIGHT)] == ["in/b.csv"]
    assert column(ingested(business).orders, "order_id") == ["o1", "o2"]


def test_a_disk_without_room_is_told_and_leaves_nothing_half_landed(folder):
    csv(folder, "shop.csv", HEADER, *(f"{random.random()},1,A,2026-01-05,10.00" for _ in range(2_000)))
    business = firm(source("shop.csv"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(SourceError) as refused:
            landed(business)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = str(refused.value)
    assert told.startswith("orders (source shop), file shop.csv: it cannot be landed in state/landed/shop (IO Error")
    assert told.endswith("Nothing was published. Make room there, or give `state` another place.")
    assert batches(Path("state/landed"), "shop") == []
    assert len(landed(business, NEXT_NIGHT)) == 1
    assert sorted(path.suffix for path in Path("state/landed/shop").iterdir()) == [".json", ".parquet"]


def test_a_cleaned_copy_of_a_file_does_not_stay_behind(folder):
    (folder / "shop.csv").write_bytes(f"{HEADER}\r\n{FIRST}\n{SECOND}\r\n".encode())
    business = firm(source("shop.csv"))
    landed(business)
    assert sorted(path.suffix for path in Path("state/landed/shop").iterdir()) == [".json", ".parquet"]


# what is landed stays as it was


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_flipped_bit_of_a_batch_is_told_and_a_rebuild_lands_it_again(folder, place):
    csv(folder, "shop.csv", HEADER, *(f"o{number},1,A,2026-01-05,{number}.00" for number in range(500)))
    business = firm(source("shop.csv"))
    [batch] = landed(business)
    good = ingested(business)
    file = batch.path(Path("state/landed"))
    flip(file, int(file.stat().st_size * place))
    with pytest.raises(SourceError) as refused:
        ingested(business)
    assert str(refused.value) == (
        "orders (source shop), file shop.csv: what was landed of it on 2026-01-15 in "
        f"state/landed/shop/{batch.batch}.parquet is damaged or gone, as are 1 batches in all. Nothing was published. "
        "Run once with --rebuild, which lands every source again; bring back a file that is gone, or its batch from a "
        "backup."
    )
    assert landed(business, NEXT_NIGHT) == []
    landed(business, NEXT_NIGHT, again=True)
    assert ingested(business).orders == good.orders


def test_a_batch_that_is_gone_is_told(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    business = firm(source("shop.csv"))
    [batch] = landed(business)
    batch.path(Path("state/landed")).unlink()
    with pytest.raises(SourceError, match="is damaged or gone"):
        ingested(business)


def test_the_broken_lines_of_a_batch_are_held_against_their_sum_too(folder):
    csv(folder, "shop.csv", HEADER, FIRST, "broken")
    business = firm(source("shop.csv"))
    [batch] = landed(business)
    flip(batch.broken_path(Path("state/landed")), 50)
    with pytest.raises(SourceError, match="is damaged or gone"):
        verify(Path("state/landed"), [batch])


def test_a_replaced_version_that_is_damaged_stops_nothing(folder):
    csv(folder, "shop.csv", HEADER, FIRST)
    business = firm(source("shop.csv"))
    [batch] = landed(business)
    csv(folder, "shop.csv", HEADER, SECOND)
    landed(business, NEXT_NIGHT)
    flip(batch.path(Path("state/landed")), 20)
    assert column(ingested(business).orders, "order_id") == ["o2"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"role": "orders"}', "\0" * 100])
def test_a_manifest_that_cannot_be_read_is_told_and_without_it_the_file_is_landed_again(folder, content):
    csv(folder, "shop.csv", HEADER, FIRST)
    business = firm(source("shop.csv"))
    [batch] = landed(business)
    manifest = Path(f"state/landed/shop/{batch.batch}.json")
    manifest.write_text(content)
    with pytest.raises(SourceError) as refused:
        landed(business, NEXT_NIGHT)
    assert str(refused.value) == (
        f"landed batch {manifest}: its manifest cannot be read. Nothing was published. Restore it from a backup, or "
        "remove it: the batch is then landed again, if its file is still there."
    )
    manifest.unlink()
    assert [each.batch for each in landed(business, NEXT_NIGHT)] == [batch.batch]
    assert column(ingested(business).orders, "order_id") == ["o1"]


def test_a_look_lands_the_first_rows_of_each_file_alone(folder):
    csv(folder, "a.csv", HEADER, FIRST, SECOND)
    (folder / "b.jsonl").write_text(
        '{"id": "e1", "account": "A", "at": "2026-01-05", "kind": "call", "direction": "in"}\n' * 3
    )
    business = firm(source("a.csv"), engagements=[source("b.jsonl", EVENTS, "mail")])
    with duckdb.connect() as con:
        found = [
            land(con, role, each, folder / "look", datetime.now(UTC), most_rows=1)[0].rows
            for role, each in (("orders", business.sources.orders[0]), ("engagements", business.sources.engagements[0]))
        ]
    assert found == [1, 1]


def test_compressed_and_plain_files_of_one_source_stand_side_by_side(folder):
    csv(folder, "in/a.csv", HEADER, FIRST)
    (folder / "in/b.csv.gz").write_bytes(
        gzip.compress(f"{HEADER.replace(',', ';')}\n{SECOND.replace(',', ';')}\n".encode())
    )
    duckdb.execute(
        "copy (select 'o3' as id, 1 as no, 7 as account, timestamp '2026-01-07' as at, 3.5 as amount) "
        "to 'in/c.parquet' (format parquet)"
    )
    found = taken_in(source("in/*.csv*", format="csv"), source("in/*.parquet", name="till"))
    assert column(found.orders, "order_id", "account_id") == [("o1", "A"), ("o2", "B"), ("o3", "7")]
