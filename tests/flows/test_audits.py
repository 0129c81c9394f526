"""Audits: passed, failed or broken, nothing lost on the way, nothing personal said, and a gate that stops."""

import gc

import duckdb
import pytest

from config.errors import ConfigurationError, GateRefused
from config.expectations import Check, Severity
from flows import auditor
from flows.audits import AuditResult, CheckResult, audit, require_passed

NO_NUMBER = "{unexpected:,} of {rows:,} rows have no number ({share:.0%})"


def not_null(column: str, severity: Severity = "critical") -> Check:
    return Check("expect_column_values_to_not_be_null", {"column": column}, severity, NO_NUMBER)


def not_negative(severity: Severity = "critical") -> Check:
    says = "{unexpected:,} of {rows:,} numbers are negative ({share:.0%})"
    return Check("expect_column_values_to_be_between", {"column": "number", "min_value": 0}, severity, says)


AT_LEAST_1 = Check("expect_table_row_count_to_be_between", {"min_value": 1}, "critical", "there are {rows:,} rows")
NO_ZERO = Check(
    "expect_query_to_find_no_rows",
    {"unexpected_rows_query": "select 1 from {batch} where number = 0"},
    "critical",
    "{unexpected:,} of {rows:,} rows are zero",
)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """What is said, also by a process of its own, which is a new one."""
    auditor.start.cache_clear()
    return capfd


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(
        "create temp table numbers as select * from (values (1, 'x'), (-2, 'y'), (null, 'z')) as t (number, name)"
    )
    return con


def test_each_check_comes_out_in_its_place_with_its_numbers(con):
    assert audit(con, "numbers", [NO_ZERO, not_negative("warning"), AT_LEAST_1, not_null("number")]) == AuditResult(
        "numbers",
        (
            CheckResult("0 of 3 rows are zero", "critical", "passed", 0, 3),
            CheckResult("1 of 2 numbers are negative (50%)", "warning", "failed", 1, 2),
            CheckResult("there are 3 rows", "critical", "passed", None, 3),
            CheckResult("1 of 3 rows have no number (33%)", "critical", "failed", 1, 3),
        ),
    )


def test_the_same_check_twice_comes_out_twice(con):
    audited = audit(con, "numbers", [not_null("number"), not_null("number", "warning"), not_null("number")])
    assert [each.unexpected for each in audited.checks] == [1, 1, 1]


def test_an_empty_table_passes_all_checks_by_row_and_fails_on_its_row_count(con):
    con.execute("delete from numbers")
    audited = audit(con, "numbers", [AT_LEAST_1, NO_ZERO, not_negative(), not_null("number")])
    assert [(each.outcome, each.unexpected, each.rows) for each in audited.checks] == [
        ("failed", None, 0),
        ("passed", 0, 0),
        ("passed", 0, 0),
        ("passed", 0, 0),
    ]


def test_a_table_of_nulls_has_no_rows_to_judge(con):
    con.execute("update numbers set number = null")
    assert audit(con, "numbers", [not_negative()]).checks == (
        CheckResult("0 of 0 numbers are negative (0%)", "critical", "passed", 0, 0),
    )


def test_a_check_that_cannot_be_evaluated_is_broken_and_the_others_are_not(con):
    unknown_in_sql = Check(
        "expect_query_to_find_no_rows", {"unexpected_rows_query": "select nobody from {batch}"}, "warning", ""
    )
    audited = audit(con, "numbers", [not_null("nobody"), not_null("number"), unknown_in_sql])
    assert [(each.outcome, each.unexpected) for each in audited.checks] == [
        ("broken", None),
        ("failed", 1),
        ("broken", None),
    ]
    assert audited.checks[0].sentence == (
        "expect_column_values_to_not_be_null could not be evaluated:"
        ' Error: The column "nobody" in BatchData does not exist'
    )
    assert 'Referenced column "nobody" not found' in audited.checks[2].sentence


def test_a_broken_check_does_not_repeat_a_value_of_the_table(con):
    con.execute("create view casts as select cast(name as integer) as number from numbers")
    (check,) = audit(con, "casts", [not_negative()]).checks
    assert check.outcome == "broken"
    assert check.sentence == (
        "expect_column_values_to_be_between could not be evaluated:"
        " (_duckdb.ConversionException) Conversion Error: Could not convert"
        " string '...' to INT32 when casting from source column name"
    )


@pytest.mark.parametrize(
    ("dropped", "named"),
    [
        (
            Check("expect_colum_values_to_not_be_null", {"column": "number"}, "critical", ""),
            "expect_colum_values_to_not_be_null (critical)",
        ),
        (not_null("number", "critcal"), "expect_column_values_to_not_be_null (critcal)"),  # ty: ignore
    ],
)
def test_a_misspelt_check_does_not_vanish(con, dropped, named):
    with pytest.raises(ConfigurationError) as refusal:
        audit(con, "numbers", [AT_LEAST_1, dropped])
    assert str(refusal.value) == (
        f"audit of numbers: Great Expectations does not know 1 of 2 checks: {named}."
        " The audit does not count. Correct them in config/expectations.py."
    )


def test_a_misspelt_argument_does_not_vanish(con, said):
    with pytest.raises(GateRefused, match="came to an end, code 1"):
        audit(
            con,
            "numbers",
            [Check("expect_column_values_to_not_be_null", {"colunm": "number"}, "critical", "")],
        )
    assert "extra fields not permitted" in said.readouterr().err


def test_only_critical_checks_stop_a_run():
    def audited(severity: Severity, outcome) -> AuditResult:
        return AuditResult("numbers", (CheckResult("it is so", severity, outcome, 1, 2),))

    require_passed([audited("critical", "passed"), audited("warning", "failed"), audited("warning", "broken")])
    for outcome in ("failed", "broken"):
        with pytest.raises(GateRefused):
            require_passed([audited("warning", "passed"), audited("critical", outcome)])


def test_a_refusal_says_which_number_broke_which_limit(con):
    checks = [not_null("number"), not_negative("warning"), not_negative(), AT_LEAST_1]
    with pytest.raises(GateRefused) as refusal:
        require_passed([audit(con, "numbers", checks), audit(con, "numbers", [not_null("nobody")])])
    assert str(refusal.value).splitlines() == [
        "numbers: 1 of 3 rows have no number (33%).",
        "numbers: 1 of 2 numbers are negative (50%).",
        "numbers: expect_column_values_to_not_be_null could not be evaluated:"
        ' Error: The column "nobody" in BatchData does not exist.',
        "Nothing was published; the tables of the last run stand.",
    ]


def test_an_audit_says_nothing_on_the_terminal(con, said):
    audit(con, "numbers", [AT_LEAST_1, not_null("nobody"), not_negative(), NO_ZERO])
    assert said.readouterr() == ("", "")


def test_a_connection_outlives_its_audits(con):
    audit(con, "numbers", [AT_LEAST_1])
    gc.collect()
    audit(con, "numbers", [AT_LEAST_1])
    gc.collect()
    assert con.sql("select count(*) from numbers").fetchall() == [(3,)]


def test_the_checks_are_not_changed_by_an_audit(con):
    check = not_negative()
    audit(con, "numbers", [check])
    assert check == not_negative()
