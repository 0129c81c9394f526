"""Expressions: what is written is refused with its place, or means in DuckDB just what it says."""

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from config.errors import ConfigurationError
from config.expressions import FUNCTIONS, scalar_sql, source_columns

DATA_ERRORS = (
    duckdb.BinderException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"enable_external_access": False, "lock_configuration": True}) as connection:
        yield connection


def value(con: duckdb.DuckDBPyConnection, sql: str, row: str = "select 1 as one") -> Any:
    return con.execute(f"select {sql} from ({row}) as source_row").fetchall()[0][0]


CANONICAL = {
    "sales_value": '"sales_value"',
    "sales_value + retail_disc": '("sales_value" + "retail_disc")',
    "cast(net as decimal(18,2))": 'TRY_CAST("net" AS DECIMAL(18, 2))',
    "net::numeric(9)": 'TRY_CAST("net" AS DECIMAL(9))',
    "net::decimal": 'TRY_CAST("net" AS DECIMAL(18, 3))',
    "net :: varchar(20)": 'TRY_CAST("net" AS VARCHAR)',
    "sent_at::timestamp with time zone": 'TRY_CAST("sent_at" AS TIMESTAMPTZ)',
    "date '2024-02-29'": "TRY_CAST('2024-02-29' AS DATE)",
    "strptime(d, '%d.%m.%Y')": "try_strptime(\"d\", '%d.%m.%Y')",
    "paid / pieces": '("paid" / nullif("pieces", 0))',
    "cents % 7 // 0.50 / 0.0": '((("cents" % 7) // 0.50) / nullif(0.0, 0))',
    "a / nullif(b, '0') / '1' / 1e-400": (
        "(((\"a\" / nullif(nullif(\"b\", '0'), 0)) / nullif('1', 0)) / nullif(1e-400, 0))"
    ),
    "paid / nullif(pieces, 0)": '("paid" / nullif("pieces", 0))',
    "kind in ('web', -1, true)": "(\"kind\" IN ('web', (- 1), TRUE))",
    "note not like '%it''s%'": "(\"note\" NOT LIKE '%it''s%')",
    "a is not distinct from (b)": '("a" IS NOT DISTINCT FROM "b")',
    "not a is null and b between 1 and 2": '((NOT ("a" IS NULL)) AND ("b" BETWEEN 1 AND 2))',
    "case a when 'us' then 'out' else null end": "CASE \"a\" WHEN 'us' THEN 'out' ELSE NULL END",
    "case when a = 1 then b when c then 2 end": 'CASE WHEN ("a" = 1) THEN "b" WHEN "c" THEN 2 END',
    "Lower(TRIM(Kind)) || '!'": "(lower(trim(\"Kind\")) || '!')",
    '"Order ID" || "a""b"': '("Order ID" || "a""b")',
    "true": "TRUE",
    "-1.50": "(- 1.50)",
}


@pytest.mark.parametrize(("written", "canonical"), CANONICAL.items())
def test_an_expression_is_written_out_in_one_canonical_form(written: str, canonical: str) -> None:
    assert scalar_sql(written) == canonical


@pytest.mark.parametrize("canonical", CANONICAL.values())
def test_the_canonical_form_stays_as_it_is(canonical: str) -> None:
    assert scalar_sql(canonical) == canonical


@pytest.mark.parametrize("word", ["order", "left", "date", "not", "value", "Größe", "current_datetime"])
def test_a_single_word_is_a_column_whatever_it_means_in_sql(word: str) -> None:
    assert scalar_sql(word) == f'"{word}"'
    assert source_columns(word) == {word}


def test_the_source_columns_are_those_read_anywhere_in_the_expression() -> None:
    expression = 'case when a > 1 then "Order ID" else coalesce(cast(b as int), A) end in (1)'
    assert source_columns(expression) == {"a", "A", "b", "Order ID"}
    assert source_columns("'legal'") == frozenset()


REFUSALS = {
    "lowr(x)": "character 1: there is no function 'lowr' here. Did you mean 'lower'?",
    "a + sum(b)": "character 5: there is no function 'sum' here.",
    "concat_ws(',')": "character 1: concat_ws takes 2 to 100 values in parentheses, not 1.",
    "md5(a, b)": "character 1: md5 takes 1 values in parentheses, not 2.",
    '"lower"(a)': "character 1: 'lower' has no place in a mapping as a function.",
    "a + cast(b as json)": (
        "character 10: cannot cast to json. The types are bigint, boolean, date, decimal, double, float,"
        " integer, smallint, timestamp, timestamptz, varchar."
    ),
    "a::decimal(39, 2)": "character 1: a decimal has 1 to 38 digits, and so many of them behind the point.",
    "a::decimal(2, 3)": "character 1: a decimal has 1 to 38 digits, and so many of them behind the point.",
    "Order ID": (
        "character 7: this is not one SQL expression; it goes wrong at or after 'ID'."
        " A column's name of several words goes in double quotes, in YAML within single ones: '\"a b\"'."
    ),
    "cast(x as decimal(18": (
        "character 20: its brackets do not match."
        " In a YAML list in brackets, an expression that holds a comma goes in quotes."
    ),
    "cast(x as decimal(18, 2)": (
        "character 24: its brackets do not match."
        " In a YAML list in brackets, an expression that holds a comma goes in quotes."
    ),
    "": "character 1: it is empty. Write a column's name or an SQL expression.",
    "a || 'b": "character 1: a quote is opened and never closed.",
    "coalesce(a,, b)": "character 12: a value is missing beside the comma.",
    "orders.amount": "character 7: name a column without its table, and write a number as 0.5.",
    "amount -- net": "character 7: a comment has no place inside. Write it on the line above, after '#'.",
    "a; drop table b": "character 2: ';' has no place in a mapping.",
    "a in (select b)": "character 1: after IN comes a list of values, such as ('web', 'shop').",
    "a in (b)": "character 1: after IN comes a list of values, such as ('web', 'shop').",
    "0 < a < 9": "character 1: comparisons do not make a chain. Join two of them by AND.",
    "a is b": "character 1: after IS comes NULL, TRUE or FALSE.",
    "a at time zone 'UTC'": "character 1: a time zone has no place here. Give the source its timezone.",
    "b < current_date": (
        "character 5: 'current_date' is not a column: a mapping knows neither the clock nor the session."
    ),
}


@pytest.mark.parametrize(("written", "fault"), REFUSALS.items())
def test_a_refusal_says_where_and_what_is_wrong(written: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        scalar_sql(written)
    assert str(refusal.value) == f"expression {written!r}, {fault}"


@pytest.mark.parametrize(
    "escape",
    [
        "read_csv('/etc/passwd')",
        "(select 1)",
        "(from orders)",
        "(table orders)",
        "exists (select 1)",
        "coalesce(a, (select max(b) from c))",
        "a = any (select 1)",
        "a = any([1])",
        "getenv('HOME')",
        "current_setting('threads')",
        "pragma version",
        "copy a to 'b'",
        "columns(*)",
        "*",
        "a.*",
        "* exclude (a)",
        "unpack(columns(*))",
        "struct_pack(*columns(*))",
        "count(*)",
        "sum(a) over ()",
        "lower(a) filter (where b)",
        "lower(a order by b)",
        "coalesce(distinct a)",
        "$1",
        "$name",
        "?",
        ":name",
        "chr(0)",
        "nextval('s')",
        "query('select 1')",
        "query_table('orders')",
        "glob('/*')",
        "[x for x in range(3)]",
        "list_transform(a, x -> x)",
        "list_transform(a, lambda x: x)",
        "{'a': 1}",
        "map {'a': 1}",
        "(a, b)",
        "a[1]",
        "a -> 'b'",
        "a.lower()",
        "main.lower(a)",
        "lower(a := 1)",
        "my_macro(a)",
        "a; drop table b",
        "a /* b */ + c",
        "a as b",
        "e'\\x41'",
        "x'41'",
        "$$a$$",
        "N'a'",
        "'a' 'b'",
        "a collate nocase",
        "interval 1 day",
        "cast(a as integer[])",
        "cast(a as struct(b integer))",
        "cast(a as mood)",
        "cast(a as timestamp(3))",
        "a like 'b' escape 'c'",
        "a between symmetric 1 and 2",
        "{{ a }}",
        "'a\0b'",
        '"a\0b"',
        '""',
        "0x1F",
        "1_000",
        "a\ufeff",
    ],
)
def test_whatever_reaches_beyond_one_row_is_refused(escape: str) -> None:
    with pytest.raises(ConfigurationError):
        scalar_sql(escape)
    with pytest.raises(ConfigurationError):
        source_columns(escape)


def test_a_name_that_duckdb_answers_itself_is_no_column(con: duckdb.DuckDBPyConnection) -> None:
    names = con.execute(
        "select keyword_name from duckdb_keywords() union select function_name from duckdb_functions()"
        " union values ('current_time'), ('current_timestamp'), ('localtime'), ('localtimestamp'), ('rowid')"
    ).fetchall()
    answered = set()
    for (name,) in names:
        try:
            answered.add((name, scalar_sql(f'"{name}"')))
            con.execute(f'select "{name}" from (select 1 as one) as source_row')
        except (ConfigurationError, duckdb.BinderException):
            answered.discard((name, f'"{name}"'))
    assert answered == {("user", '"user"')}


@pytest.mark.parametrize(
    "written",
    [
        "cast(t as integer)",
        "t::date",
        "strptime(t, '%Y')",
        "try_strptime(t, '%Y')",
        "1 / 0",
        "7 % zero",
        "7 // zero",
    ],
)
def test_what_does_not_convert_or_divide_is_null(con: duckdb.DuckDBPyConnection, written: str) -> None:
    assert value(con, scalar_sql(written), "select 'x' as t, 0 as zero") is None


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_text_is_kept_to_the_character(con: duckdb.DuckDBPyConnection, text: str) -> None:
    assume(len(text) < 1_000)
    quoted = "'" + text.replace("'", "''") + "'"
    assert scalar_sql(f"lower({quoted})") == f"lower({quoted})"
    assert value(con, scalar_sql(quoted)) == text


@given(st.from_regex(r"\A[0-9]{1,9}(\.[0-9]{0,9})?(e-?[0-9]{1,2})?\Z", alphabet="0123456789.e-"))
def test_a_number_is_kept_to_the_digit(digits: str) -> None:
    assert scalar_sql(digits) == digits


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_quoted_name_is_read_as_that_column(con: duckdb.DuckDBPyConnection, name: str) -> None:
    assume(len(name) < 1_000 and name.lower() != "one")
    quoted = '"' + name.replace('"', '""') + '"'
    try:
        sql = scalar_sql(quoted)
    except ConfigurationError:
        assert re.fullmatch("current_.*|local.*|session_user", name.lower())
        return
    assert source_columns(quoted) == {name}
    assert value(con, sql, f"select 7 as {quoted}") == 7


TYPED_ROW = "select 3 as a, -2 as b, null::integer as n, 'xy' as s, 'Y' as t, true as p, false as q"


GRAMMAR = {
    "number": [
        *("a", "b", "n", "1", "2", "-3", "+ 4"),
        *(
            "{number} + {number}",
            "{number} - {number}",
            "{number} * {number}",
            "{number} // 3",
            "{number} % b",
        ),
        *("({number})", "- {number}", "length({text})", "coalesce({number}, {number})"),
        "case when {truth} then {number} else {number} end",
        "case {number} when {number} then {number} end",
    ],
    "text": [
        *("s", "t", "'it''s'", "'a\"b'"),
        *("{text} || {text}", "{text} || {number}", "upper({text})", "({text})"),
    ],
    "truth": [
        *("p", "q", "true", "null"),
        *("{number} = {number}", "{number} < {number}", "{number} <> {number}", "{number} >= {number}"),
        *("{number} is distinct from {number}", "{number} is not distinct from {number}"),
        *("{number} between {number} and {number}", "{number} not between {number} and {number}"),
        *("{number} is null", "{number} is not null", "{truth} is true", "{truth} is not false"),
        *("{text} = {text}", "{text} like {text}", "{text} not like {text}", "{text} not ilike {text}"),
        *("{truth} and {truth}", "{truth} or {truth}", "{truth} = {truth}", "not {truth}", "({truth})"),
        *("{number} in (1, -2, 3)", "{text} not in ('xy', 'Y')"),
    ],
}


@st.composite
def expressions(draw: st.DrawFn, kind: str, depth: int = 3) -> str:
    form = draw(st.sampled_from([form for form in GRAMMAR[kind] if depth or "{" not in form]))
    return re.sub("{(.*?)}", lambda inner: draw(expressions(inner[1], depth - 1)), form)


@given(st.sampled_from(sorted(GRAMMAR)).flatmap(expressions))
def test_the_canonical_form_means_what_was_written(con: duckdb.DuckDBPyConnection, written: str) -> None:
    try:
        meant = value(con, written, TYPED_ROW)
    except (duckdb.ParserException, *DATA_ERRORS):
        return
    canonical = scalar_sql(written)
    assert value(con, canonical, TYPED_ROW) == meant
    assert scalar_sql(canonical) == canonical


SOUP = r"""
a b order value all as and any at between by case cast collate columns current_date date decimal distinct
else end escape exclude exists false filter for from getenv ilike in integer interval is isnull lambda
like limit not null or over query read_csv replace select struct symmetric table then true try_cast try
union using values varchar when where with zone timestamp timestamptz pragma copy drop ( ( ( ( ) ) ) ) ,
, , . ; : :: := + - * / // % || = == <> != < <= > >= <=> -> ->> [ ] { } $ $1 ? @ ! ~ & | ^ ' '' 'x'
'it''s' '1' '%Y' " "a" "B""c" 0 1 2.5 1e3 .5 5. 0x1F -- /* */ # \ é
"""
WORDS = [*FUNCTIONS, *SOUP.split()]


def reading(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of an expression as DuckDB's own parser sees it."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for inner in node.values():
            yield from reading(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from reading(inner)


HARMLESS = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "OPERATOR",
    "TYPE",
}
SIGNS = {"+", "-", "*", "/", "//", "%", "||", "~~", "!~~", "~~*", "!~~*"}


@given(
    st.one_of(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), st.text()),
    st.sampled_from(["'1'", "'x'", "1", "1.5::decimal(18, 2)", "2.5e0", "true", "null", "timestamp '2024-02-29'"]),
)
@example("a not ilike b escape 'c'", "'x'")
@example("else abs", "'x'")
@example("abs in", "'x'")
def test_whatever_is_written_is_refused_or_reads_one_row_only(
    con: duckdb.DuckDBPyConnection, written: str, cell: str
) -> None:
    try:
        sql = scalar_sql(written)
    except ConfigurationError:
        return
    names = {name.lower(): name for name in source_columns(written)}
    cells = [f'{cell} as "{name.replace(chr(34), chr(34) * 2)}"' for name in names.values()]
    query = f"select {sql} from source_row"

    parsed = json.loads(con.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0])
    assert not parsed["error"] and len(parsed["statements"]) == 1
    (selected,) = parsed["statements"][0]["node"]["select_list"]
    parts = list(reading(selected))
    assert {part["class"] for part in parts} <= HARMLESS
    called = {part["function_name"] for part in parts if part["class"] == "FUNCTION"}
    assert called <= FUNCTIONS.keys() | SIGNS
    read = {tuple(part["column_names"]) for part in parts if part["class"] == "COLUMN_REF"}
    assert read == {(name,) for name in source_columns(written)}
    assert con.get_table_names(query) == {"source_row"}

    try:
        value(con, sql, f"select {', '.join(['1 as one', *cells])}")
    except DATA_ERRORS as error:
        assert "Referenced column" not in str(error)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("a" * 4_001, "it has 4,001 characters; the most is 4,000"),
        ("1" + " + 1" * 250, "it has 501 words and signs; the most is 500"),
        ("(" * 240 + "a" + ")" * 240, "it is nested too deeply"),
        ("a = " + "not " * 400 + "b", "it is nested too deeply"),
        ("decimal(" * 60 + "a" + ")" * 60, "there is no function 'decimal' here"),
    ],
)
def test_long_and_deep_expressions_are_refused_at_once(written: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(fault)):
        scalar_sql(written)


def test_a_mapping_of_many_branches_is_taken() -> None:
    branches = " ".join(f"when code = {number} then 'category {number}'" for number in range(60))
    assert scalar_sql(f"case {branches} end").count("WHEN") == 60
