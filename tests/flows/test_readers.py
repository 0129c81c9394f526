"""Readers: what a file says arrives as it stands, and a file that is not what it should be is told apart."""

import csv
import gzip
import io
import json
import re
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SourceError
from config.sources import Format, format_of
from flows.readers import BrokenLine, fault, forget_rejects, relation, unreadable

TABLE = [{"id": "a", "note": "x, y"}, {"id": "b", "note": None}]
PLAIN = b'id,note\na,"x, y"\nb,\n'
zipped = partial(gzip.compress, mtime=0)  # else each process of pytest would call the tests by other bytes


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 2})


@pytest.fixture
def read(con, tmp_path):
    """Reads a file of these bytes: its rows, and the lines that cannot be read."""

    def read(name: str, content: bytes, form: Format | None = None) -> tuple[list[dict[str, Any]], list[BrokenLine]]:
        (tmp_path / name).write_bytes(content)
        return rows_of(con, tmp_path / name, tmp_path / "scratch", form)

    return read


def rows_of(
    con, file: Path, scratch: Path, form: Format | None = None
) -> tuple[list[dict[str, Any]], list[BrokenLine]]:
    table = relation(con, f"orders (source shop), file {file.name}", file, form or format_of(file.name), scratch)
    forget_rejects(con)
    found = con.execute(f"select * from {table.sql}").fetchall()
    return [dict(zip(table.columns, row, strict=True)) for row in found], table.broken()


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("comma.csv", PLAIN),
        ("semicolon.csv", b"id;note\na;x, y\nb;\n"),
        ("tab.tsv", b"id\tnote\na\tx, y\nb\t\n"),
        ("bar.csv", b"id|note\na|x, y\nb|\n"),
        ("windows.csv", b'id,note\r\na,"x, y"\r\nb,\r\n'),
        ("old_mac.csv", b'id,note\ra,"x, y"\rb,\r'),
        ("no_last_line_end.csv", b'id,note\na,"x, y"\nb,'),
        ("marked.csv", b"\xef\xbb\xbf" + PLAIN),
        ("small.csv.gz", zipped(PLAIN)),
        ("in_two_parts.csv.gz", zipped(PLAIN[:11]) + zipped(PLAIN[11:])),
        ("CAPITALS.CSV.GZ", zipped(PLAIN)),
        ("blanks.csv", b'id , note\na,"x, y"\nb,\n'),
        ("quoted.csv", b'"id","note"\n"a","x, y"\n"b",""\n'),
        ("blank_lines.csv", b'id,note\n\na,"x, y"\n\nb,\n\n'),
        ("mixed.csv", b'id,note\r\na,"x, y"\nb,\r\n'),
        ("mixed_later.csv", b'id,note\na,"x, y"\r\nb,\n'),
        ("lines.jsonl", lines(*TABLE)),
        ("windows.ndjson", lines(*TABLE).replace(b"\n", b"\r\n")),
        ("marked.jsonl", b"\xef\xbb\xbf" + lines(*TABLE)),
        ("array.json", json.dumps(TABLE, indent=2).encode()),
        ("marked.json", b"\xef\xbb\xbf" + json.dumps(TABLE).encode()),
        ("array.json.gz", zipped(json.dumps(TABLE).encode())),
        ("missing_key.jsonl", lines({"id": "a", "note": "x, y"}, {"id": "b"})),
    ],
)
def test_the_same_table_is_read_from_each_form_of_text(read, name, content):
    assert read(name, content) == (TABLE, [])


def test_quotes_line_ends_and_delimiters_in_quotes_are_part_of_the_value(read):
    content = b'id,"note; of; all"\na,"says ""no""\nand\r\nleaves, then"\n'
    assert read("a.csv", content) == ([{"id": "a", "note; of; all": 'says "no"\nand\r\nleaves, then'}], [])


def test_values_of_csv_and_json_files_stay_the_text_that_they_are(read):
    written = {"id": "007", "note": "NULL", "flag": "true", "amount": "1e3", "day": "2026-02-30", "name": "Zoë 🦊"}
    in_csv = ",".join(written).encode() + b"\n" + ",".join(written.values()).encode()
    assert read("a.csv", in_csv) == ([written], [])
    assert read("a.jsonl", lines(written)) == ([dict(sorted(written.items()))], [])


def test_numbers_of_a_json_file_keep_their_digits(read):
    content = (
        b'{"amount": 999999999.9999, "cents": 0.1, "id": 9007199254740993, "flag": true, "list": [1, {"a": null}]}'
    )
    expected = {"amount": "999999999.9999", "cents": "0.1", "flag": "true", "id": "9007199254740993"}
    assert read("a.jsonl", content) == ([expected | {"list": '[1,{"a":null}]'}], [])


@pytest.mark.parametrize("key", ["a.b", 'a"b', "a\\b", "it's", "*", "$", "/", "~1", "[0]", " ", "é", "a\nb", "select"])
def test_a_json_key_may_be_any_text(read, key):
    assert read("a.jsonl", lines({key: "found", "other": "x"}))[0][0][key] == "found"


def test_a_csv_column_without_a_name_is_known_by_its_number(read):
    assert read("a.csv", b"id,,note,\na,1,x,\n") == ([{"id": "a", "column_2": "1", "note": "x", "column_4": None}], [])


def test_a_file_whose_name_looks_like_a_pattern_is_read_alone(read):
    read("orders1.csv", b"id\nanother\n")
    assert read("orders[1].csv", b"id\nthis\n") == ([{"id": "this"}], [])
    assert read("orders*.csv", b"id\nthat\n") == ([{"id": "that"}], [])


def test_a_parquet_file_keeps_its_types(con, tmp_path):
    con.execute(
        "copy (select 7 as id, cast(1.10 as decimal(9, 2)) as amount, timestamp '2026-01-01 10:00' as at, null as gone)"
        f" to '{tmp_path}/a.parquet' (format parquet)"
    )
    expected = {"id": 7, "amount": Decimal("1.10"), "at": datetime(2026, 1, 1, 10), "gone": None}
    assert rows_of(con, tmp_path / "a.parquet", tmp_path / "scratch") == ([expected], [])


def test_broken_lines_of_a_csv_file_are_told_and_the_others_read(read):
    content = b'id,note\na,1\nb\nc,1,2\nd,"x"y\ne,M\xfcller\nf,2\n'
    assert read("a.csv", content) == (
        [{"id": "a", "note": "1"}, {"id": "f", "note": "2"}],
        [
            BrokenLine(3, "b", "Expected Number of Columns: 2 Found: 1"),
            BrokenLine(4, "c,1,2", "Expected Number of Columns: 2 Found: 3"),
            BrokenLine(5, 'd,"x"y', "Value with unterminated quote found"),
            BrokenLine(
                6, "e,M?ller", "Invalid unicode (byte sequence mismatch) detected. This file is not utf-8 encoded"
            ),
        ],
    )


def test_of_an_open_quote_the_one_line_is_told_and_all_behind_it_read(read):
    found, broken = read("a.csv", b'id,note\na,"1\n1"\nb,"x\nc,"2"\nd,3\ne,"y\nf,4\ng\nh,5\n')
    assert found == [
        {"id": "a", "note": "1\n1"},
        {"id": "c", "note": "2"},
        {"id": "d", "note": "3"},
        {"id": "f", "note": "4"},
        {"id": "h", "note": "5"},
    ]
    assert broken == [
        BrokenLine(4, 'b,"x', "Value with unterminated quote found"),
        BrokenLine(7, 'e,"y', "Value with unterminated quote found"),
        BrokenLine(9, "g", "Expected Number of Columns: 2 Found: 1"),
    ]


def test_an_open_quote_before_millions_of_characters_costs_one_line(read):
    rest = b"".join(b"%d,x\n" % number for number in range(300_000))
    found, broken = read("a.csv", b'id,note\na,"1\n' + rest)
    assert (len(found), [(each.line, each.text) for each in broken]) == (300_000, [(2, 'a,"1')])


def test_a_record_of_several_lines_that_is_broken_is_told_as_one(read):
    found, broken = read("a.csv", b'id,note\na,"1\n2",3\nb,4\n')
    assert found == [{"id": "b", "note": "4"}]
    assert broken == [BrokenLine(2, 'a,"1\n2",3', "Expected Number of Columns: 2 Found: 3")]


def test_each_line_that_opens_a_quote_is_told(read):
    content = b"".join(b'a,"%d\nb,"x"y\n' % number for number in range(50))
    found, broken = read("a.csv", b"id,note\n" + content + b"c,1\n")
    assert found == [{"id": "c", "note": "1"}]
    assert [(each.line, each.text) for each in broken] == list(enumerate(content.decode().splitlines(), start=2))


def test_a_file_in_which_no_end_of_open_quotes_is_found_is_refused(read):
    with pytest.raises(SourceError) as refused:
        read("a.csv", b"id,note\n" + b"".join(b'a,"%d\n' % number for number in range(2_000)))
    assert re.fullmatch(
        r"orders \(source shop\), file a.csv: line [\d,]+ opens a quote that is never closed, as [\d,]+ lines do, and what is "
        r"behind it cannot be told apart. Nothing was read. Deliver the file again, with quotes in values doubled.",
        str(refused.value),
    )


def test_of_a_broken_line_only_the_beginning_is_kept(read):
    _, broken = read("a.csv", b"id,note\na," + b"x" * 3_000_000 + b"\n")
    assert [(each.line, len(each.text)) for each in broken] == [(2, 10_000)]
    _, broken = read("a.jsonl", b'{"id": 1}\n{"id": ' + b"x" * 3_000_000 + b"\n")
    assert [(each.line, len(each.text)) for each in broken] == [(2, 10_000)]


def test_a_carriage_return_inside_a_csv_line_costs_no_line(read):
    found, broken = read("a.csv", b"id,note\na,x\ry\nb,z\n")
    assert (found, broken) == ([{"id": "a", "note": "x y"}, {"id": "b", "note": "z"}], [])


def test_broken_lines_of_a_json_file_are_told_and_the_others_read(read):
    content = b'{"id": 1}\n\n{"id": \n[2]\n"three"\n{"id": "M\xfcller"}\n{"id": 4}{"id": 5}\n  \n{"id": 6}\n{"id": 7'
    found, broken = read("a.jsonl", content)
    assert found == [{"id": "1"}, {"id": "6"}]
    assert broken == [
        BrokenLine(3, '{"id":', "not a JSON object"),
        BrokenLine(4, "[2]", "not a JSON object"),
        BrokenLine(5, '"three"', "not a JSON object"),
        BrokenLine(6, '{"id": "M\N{REPLACEMENT CHARACTER}ller"}', "not a JSON object"),
        BrokenLine(7, '{"id": 4}{"id": 5}', "not a JSON object"),
        BrokenLine(10, '{"id": 7', "not a JSON object"),
    ]


def test_elements_of_a_json_array_that_are_no_objects_are_told(read):
    found, broken = read("a.json", b'[{"id": 1}, 2, null, {"id": 3}]')
    assert found == [{"id": "1"}, {"id": "3"}]
    assert broken == [BrokenLine(2, "2", "not a JSON object"), BrokenLine(3, "null", "not a JSON object")]


def damaged(content: bytes) -> bytes:
    """The same with one bit flipped in its middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


MANY = zipped(b"id,note\n" + b"".join(b"%d,%d\n" % (number, number * 7919) for number in range(5_000)))
AGAIN = "Nothing was read. Deliver the file again."


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "the file is empty. Nothing was read. Deliver it again, or remove it."),
        ("a.csv", b"\xef\xbb\xbf \r\n\n", "the file is empty. Nothing was read. Deliver it again, or remove it."),
        ("a.csv.gz", zipped(b""), "the file is empty. Nothing was read. Deliver it again, or remove it."),
        ("a.jsonl", b"\n\n", "the file is empty. Nothing was read. Deliver it again, or remove it."),
        ("a.csv", b"\n1,2\n", "its first line names no columns. Nothing was read. Deliver it with a header."),
        (
            "a.csv",
            b"\n<!DOCTYPE html>\n<p>,",
            "it is HTML or XML, perhaps a login or error page that was saved under this",
        ),
        (
            "a.jsonl",
            b"<html>\n",
            "it is HTML or XML, perhaps a login or error page that was saved under this name, not",
        ),
        ("a.csv", b"PK\x03\x04\x14\0\6\0", f"it is an Excel or ZIP file, not a CSV file in UTF-8. {AGAIN}"),
        ("a.csv", b"PAR1\x15\0", f"it is a Parquet file, not a CSV file in UTF-8. {AGAIN}"),
        ("a.csv", zipped(PLAIN), "it is compressed by gzip, and its name does not end in .gz, not a CSV file"),
        ("a.csv", "id,note\n1,2\n".encode("utf-16"), f"it is text in UTF-16, not a CSV file in UTF-8. {AGAIN}"),
        ("a.csv", "id,größe\n1,2\n".encode("latin-1"), "the names of its columns are in another encoding"),
        ("a.csv", b"id,note,ID\n1,2,3\n", "the column id stands there twice; small and capital letters are the same."),
        ("a.jsonl", b'{"id": 1, "Id": 2}\n', "the column id stands there twice; small and capital letters are the"),
        ("a.csv.gz", PLAIN, f"it is not a CSV file in UTF-8 (Not a gzipped file (b'id')). {AGAIN}"),
        ("a.csv.gz", MANY[: len(MANY) // 2], "Compressed file ended before the end-of-stream marker was reached"),
        ("a.csv.gz", damaged(MANY), "it is not a CSV file in UTF-8 ("),
        ("a.jsonl.gz", zipped(lines(*TABLE))[:-1], "Compressed file ended before the end-of-stream marker was"),
        (
            "a.json",
            b'[{"id": 1}, {"id"',
            "it is not JSON lines or an array of objects (it ends before its array does). ",
        ),
        ("a.json", b'[{"id": 1},\n', "it is not JSON lines or an array of objects (it ends before its array does). "),
        (
            "a.json",
            b'[{"id": 1}, {"id"]',
            "it is not JSON lines or an array of objects (Invalid Input Error: Malformed",
        ),
        ("a.jsonl", b"1\n2\n", "it is not JSON lines or an array of objects (it holds no object with a key). "),
        ("a.parquet", b"id,note\n1,2\n", "it is not a whole Parquet file (Invalid Input Error: No magic bytes found"),
        (
            "a.parquet",
            b"PAR1" + b"\0" * 20,
            "it is not a whole Parquet file (Invalid Input Error: No magic bytes found",
        ),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(read, name, content, told):
    with pytest.raises(SourceError) as refused:
        read(name, content)
    sentence = str(refused.value)
    assert sentence.startswith(f"orders (source shop), file {name}: ")
    assert told in sentence
    assert "Nothing was read." in sentence


def test_a_file_that_is_missing_is_named(con, tmp_path):
    with pytest.raises(
        SourceError, match=r"^orders: there is no such file. Nothing was read. Bring it, or correct the path"
    ):
        relation(con, "orders", tmp_path / "gone.csv", "csv", tmp_path / "scratch")


def test_a_truncated_parquet_file_is_refused(con, tmp_path):
    file = tmp_path / "a.parquet"
    con.execute(f"copy (select range as id from range(10000)) to '{file}' (format parquet)")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SourceError, match="it is not a whole Parquet file"):
        rows_of(con, file, tmp_path / "scratch")


def test_a_parquet_file_whose_text_is_not_utf_8_is_refused_without_the_text(con, tmp_path):
    file = tmp_path / "a.parquet"
    con.execute(f"copy (select 'JaneMiller' as id) to '{file}' (format parquet, compression uncompressed)")
    file.write_bytes(file.read_bytes().replace(b"JaneMiller", b"JaneM\xfcller"))
    with pytest.raises(duckdb.Error, match="is not valid UTF8") as refused:
        rows_of(con, file, tmp_path / "scratch")
    assert "Jane" in str(refused.value)
    assert "Jane" not in fault(refused.value)


CAST = "Conversion Error: Could not convert string"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{CAST} 'Jane Doe' to INT32", f"{CAST} '...' to INT32"),
        (f"{CAST} 'Jane Doe\n12 Main Street' to INT32", f"{CAST} '...'"),
        (f'{CAST} "Jane Doe" to DECIMAL(11,1)', f"{CAST} '...' to DECIMAL(11,1)"),
        ("Binder Error: it doesn't fit.", "Binder Error: it doesn't fit"),
    ],
)
def test_a_fault_is_told_without_values(said, told):
    assert fault(ValueError(said)) == told


FIELDS = st.text(st.sampled_from('ab,;"\n\r \té🦊'), max_size=5)


@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(",;\t|"))
def test_whatever_a_csv_writer_wrote_is_read_as_it_was(con, tmp_path_factory, table, line_end, delimiter):
    folder = tmp_path_factory.getbasetemp()
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        [("x", "y"), *table]
    )
    (folder / "any.csv").write_bytes(text.getvalue().encode())
    found, broken = rows_of(con, folder / "any.csv", folder / "scratch")
    assert ([tuple(row.values()) for row in found], broken) == ([(x or None, y or None) for x, y in table], [])


LINES = st.lists(
    st.tuples(st.text(st.sampled_from('ab,;" é'), max_size=4), st.sampled_from(["\n", "\r\n"])), max_size=6
)


@given(LINES)
def test_lines_that_end_differently_are_read_as_if_they_did_not(con, tmp_path_factory, table):
    folder = tmp_path_factory.getbasetemp()
    text = io.StringIO(newline="")
    for number, (note, line_end) in enumerate([("note", "\n"), *table]):
        csv.writer(text, lineterminator=line_end).writerow((number, note))
    (folder / "mixed.csv").write_bytes(text.getvalue().encode())
    found, broken = rows_of(con, folder / "mixed.csv", folder / "scratch")
    assert ([row["note"] for row in found], broken) == ([note or None for note, _ in table], [])


VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5).filter(lambda text: text)


@given(st.lists(st.fixed_dictionaries({"x": VALUES, "y": VALUES}), min_size=1, max_size=5), st.booleans())
def test_whatever_a_json_writer_wrote_is_read_as_it_was(con, tmp_path_factory, objects, is_array):
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.json").write_bytes(json.dumps(objects).encode() if is_array else lines(*objects))
    found, broken = rows_of(con, folder / "any.json", folder / "scratch")
    said = [{key: _as_text(value) for key, value in each.items()} for each in objects]
    assert (found, broken) == (said, [])


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def test_a_file_that_there_is_no_memory_for_is_not_told_as_broken():
    told = unreadable(
        "orders (source shop), file orders.json", "JSON lines", duckdb.OutOfMemoryException("failed to allocate")
    )
    assert str(told).startswith(
        "orders (source shop), file orders.json: DuckDB has too little memory (failed to allocate)."
    )
    assert "Deliver" not in str(told)
