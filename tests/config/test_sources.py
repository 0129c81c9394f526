"""Sources: what a source may say, what its columns become, and which format its path tells."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from config.errors import ConfigurationError
from config.settings import Sources
from config.sources import (
    DatasetSource,
    EngagementSource,
    FilesSource,
    Lookup,
    OrderSource,
    PostgresSource,
    Source,
    format_of,
)
from config.tables import ENGAGEMENTS, ORDERS

COLUMNS = {"order_id": "id", "account_id": "who", "ordered_at": "day", "amount": "paid"}
FILES = {"kind": "files", "name": "till", "path": "landing/*.csv", "columns": COLUMNS}
DATASET = {
    "kind": "dataset",
    "name": "till",
    "package": "shop",
    "path": "d/x.parquet",
    "columns": COLUMNS,
}
CALLS = {"account_id": "who", "occurred_at": "day", "kind": "'call'", "direction": "way"}


def order_source(given: dict[str, Any]) -> Source:
    return TypeAdapter(OrderSource).validate_python(given)


def faults(given: dict[str, Any], kind: Any = OrderSource) -> list[tuple[str, ...]]:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(kind).validate_python(given)
    return [tuple(str(part) for part in error["loc"][1:]) for error in refusal.value.errors()]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("orders.csv", "csv"),
        ("landing/**/orders_*.CSV.GZ", "csv"),
        ("orders.tsv", "csv"),
        ("2024.01/orders.parquet", "parquet"),
        ("orders.json", "json"),
        ("orders.jsonl.gz", "json"),
        ("orders.ndjson", "json"),
    ],
)
def test_the_end_of_a_path_tells_the_format(path: str, told: str) -> None:
    assert format_of(path) == told


@pytest.mark.parametrize("path", ["orders", "orders.txt", "orders.xlsx", "csv", "orders.gz", "landing/*"])
def test_a_path_that_tells_no_format_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        format_of(path)
    assert str(refusal.value) == (
        "the end of the path tells no format. Give format, or a path that ends in .csv, .json, .jsonl, .ndjson,"
        " .parquet, .tsv."
    )
    assert faults(FILES | {"path": path}) == [("format",)]


def test_a_path_of_any_name_is_taken_with_a_format() -> None:
    source = order_source(FILES | {"path": "landing/orders.txt", "format": "csv"})
    assert isinstance(source, FilesSource)
    assert source.format == "csv"


def test_a_source_of_files_keeps_what_it_was_given() -> None:
    lookup = {"path": "landing/articles.csv", "on": ["article"]}
    source = order_source(FILES | {"timezone": "Asia/Tokyo", "lookups": [lookup]})
    assert isinstance(source, FilesSource)
    assert source.model_dump() == FILES | {
        "format": None,
        "timezone": "Asia/Tokyo",
        "lookups": ({"path": "landing/articles.csv", "on": ("article",)},),
    }


def test_a_source_in_a_package_keeps_what_it_was_given() -> None:
    source = order_source(DATASET)
    assert isinstance(source, DatasetSource)
    assert source.model_dump() == DATASET | {"timezone": None, "lookups": ()}


def test_a_column_may_have_alternatives() -> None:
    source = order_source(FILES | {"columns": COLUMNS | {"account_id": ["who", "trim(customer)"]}})
    assert source.columns["account_id"] == ["who", "trim(customer)"]


@pytest.mark.parametrize("kind", [OrderSource, EngagementSource])
def test_every_column_of_ours_may_be_mapped_and_no_other(kind: Any) -> None:
    table = ORDERS if kind is OrderSource else ENGAGEMENTS
    columns = {column.name: "a" for column in table}
    source = TypeAdapter(kind).validate_python(FILES | {"columns": columns})
    assert source.columns == columns
    assert faults(FILES | {"columns": columns | {"acount": "a"}}, kind) == [("columns", "acount")]


@pytest.mark.parametrize("missing", ["order_id", "account_id", "ordered_at", "amount"])
def test_orders_need_their_required_columns(missing: str) -> None:
    columns = {name: mapped for name, mapped in COLUMNS.items() if name != missing}
    assert faults(FILES | {"columns": columns}) == [("columns", missing)]


@pytest.mark.parametrize("missing", ["account_id", "occurred_at", "kind", "direction"])
def test_engagements_need_their_required_columns(missing: str) -> None:
    columns = {name: mapped for name, mapped in CALLS.items() if name != missing}
    assert faults(FILES | {"columns": columns}, EngagementSource) == [("columns", missing)]


@pytest.mark.parametrize("mapped", ["sum(a)", "", None, [], ["a", "b +"], [None], {"a": 1}, ["a", ["b"]]])
def test_what_is_no_expression_maps_nothing(mapped: Any) -> None:
    ((column, *_),) = [fault[1:] for fault in faults(FILES | {"columns": COLUMNS | {"line": mapped}})]
    assert column == "line"


def test_every_mistake_in_a_mapping_is_found() -> None:
    columns = COLUMNS | {"amount": "sum(paid)", "line": "a +", "acount": "b"}
    del columns["order_id"]
    found = {fault[1] for fault in faults(FILES | {"columns": columns})}
    assert found == {"amount", "line", "acount", "order_id"}


@pytest.mark.parametrize("path", ["/etc/passwd.csv", "../x.csv", "a/../../x.csv", "..\\x.csv", "C:/x.csv"])
def test_a_dataset_and_its_lookups_stay_inside_the_package(path: str) -> None:
    assert faults(DATASET | {"path": path}) == [("path",)]
    assert faults(DATASET | {"lookups": [{"path": path, "on": ["a"]}]}) == [("lookups",)]


def test_files_may_lie_anywhere_on_this_machine_but_nowhere_else() -> None:
    assert order_source(FILES | {"path": "../elsewhere/*.csv"})
    assert order_source(FILES | {"path": "/data/*.csv"})
    assert faults(FILES | {"path": "s3://key:secret@bucket/orders.csv"}) == [("path",)]


@pytest.mark.parametrize("name", ["", "Till", "a b", "../a", "a/b", ".a", "-a", "a" * 64, "ä"])
def test_a_source_has_a_name_that_can_be_a_directory(name: str) -> None:
    assert faults(FILES | {"name": name}) == [("name",)]


@pytest.mark.parametrize("package", ["", "a-b", "a/b", "..a", "a.", "a.b", "__main__", "1a"])
def test_a_package_has_an_importable_name(package: str) -> None:
    assert faults(DATASET | {"package": package}) == [("package",)]


@pytest.mark.parametrize("lookup", [{"path": "a.csv", "on": []}, {"path": "a.txt", "on": ["b"]}, {"path": "a.csv"}])
def test_a_lookup_has_a_readable_file_and_columns_to_join_on(lookup: Any) -> None:
    with pytest.raises(ValidationError):
        Lookup.model_validate(lookup)


@pytest.mark.parametrize("given", [FILES | {"package": "a"}, DATASET | {"format": "csv"}, FILES | {"colums": {}}])
def test_a_key_that_the_kind_does_not_know_is_refused(given: dict[str, Any]) -> None:
    assert len(faults(given)) == 1


def test_an_error_does_not_print_what_was_given() -> None:
    with pytest.raises(ValidationError) as refusal:
        Sources.model_validate({"orders": [FILES | {"path": "s3://key:hunter2@bucket/a.csv", "name": "HUNTER2"}]})
    assert "hunter2" not in str(refusal.value).lower()


TABLE = {
    "kind": "postgres",
    "name": "till",
    "host": "db.example.org",
    "port": 5432,
    "database": "shop",
    "user": "reader",
    "password": {"env": "SHOP_PASSWORD", "prefect_block": None},
    "table": "sales.orders",
    "columns": COLUMNS,
}
GIVEN_TABLE = TABLE | {"password": {"env": "SHOP_PASSWORD"}}
READ_ON = {"cursor": "changed_at", "overlap": "3d", "columns": COLUMNS | {"line_number": "no"}}


def test_a_source_in_a_database_keeps_what_it_was_given() -> None:
    source = order_source(GIVEN_TABLE)
    assert isinstance(source, PostgresSource)
    assert source.model_dump() == TABLE | {"timezone": None, "cursor": None, "overlap": None}
    assert order_source(GIVEN_TABLE | READ_ON).model_dump() == TABLE | READ_ON | {"timezone": None}


@pytest.mark.parametrize(
    ("table", "parts"),
    [("sales.orders", ("sales", "orders")), ("orders", ("public", "orders")), ('a b."c', ("a b", '"c'))],
)
def test_a_table_is_named_with_its_schema_or_is_public(table: str, parts: tuple[str, str]) -> None:
    source = order_source(GIVEN_TABLE | {"table": table})
    assert isinstance(source, PostgresSource)
    assert source.name_parts == parts


@pytest.mark.parametrize("table", ["", ".", "a.", ".a", "a.b.c", "a..b"])
def test_a_table_without_a_name_is_refused(table: str) -> None:
    assert faults(GIVEN_TABLE | {"table": table}) == [("table",)]


@pytest.mark.parametrize("overlap", ["3d", "1h", "99999h", 0, 1000])
def test_an_overlap_is_hours_days_or_a_whole_number(overlap: Any) -> None:
    assert order_source(GIVEN_TABLE | READ_ON | {"overlap": overlap}).model_dump()["overlap"] == overlap


@pytest.mark.parametrize("overlap", ["3", "3 days", "0d", "-1d", "3w", "1.5d", "3d'", -1, 1.5, True, "", ["3d"]])
def test_any_other_overlap_is_refused(overlap: Any) -> None:
    assert faults(GIVEN_TABLE | READ_ON | {"overlap": overlap}) == [("overlap",)]


@pytest.mark.parametrize("left_out", ["cursor", "overlap"])
def test_cursor_and_overlap_go_together(left_out: str) -> None:
    given = {key: value for key, value in (GIVEN_TABLE | READ_ON).items() if key != left_out}
    with pytest.raises(ValidationError, match=r"cursor and overlap go together\. Give both, or neither\."):
        order_source(given)


@pytest.mark.parametrize(
    ("kind", "columns", "missing"), [(OrderSource, COLUMNS, "line_number"), (EngagementSource, CALLS, "event_id")]
)
def test_with_a_cursor_a_row_needs_a_key_of_its_own(kind: Any, columns: dict[str, Any], missing: str) -> None:
    given = GIVEN_TABLE | READ_ON | {"columns": columns}
    with pytest.raises(ValidationError, match=f"with a cursor, columns needs {missing}: a later version"):
        TypeAdapter(kind).validate_python(given)
    assert TypeAdapter(kind).validate_python(given | {"columns": columns | {missing: "id"}})


def test_a_database_is_joined_by_views_and_not_by_lookups() -> None:
    assert faults(GIVEN_TABLE | {"lookups": [{"path": "a.csv", "on": ["b"]}]}) == [("lookups",)]
