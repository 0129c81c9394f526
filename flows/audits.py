"""Audits: the checks of `config.expectations` on tables of an open DuckDB connection, and their gate."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from config.errors import ConfigurationError, GateRefused
from config.expectations import Check, Severity
from flows.auditor import validate

Outcome = Literal["passed", "failed", "broken"]


@dataclass(frozen=True)
class CheckResult:
    """How one check came out.

    Attributes:
        sentence: what was found, in words and numbers; never a value from the table.
        severity: critical or warning.
        outcome: passed, failed, or broken, which means that it could not be evaluated.
        unexpected: rows against the expectation; None where the check is broken or does not count rows.
        rows: rows judged: those of the table that have a value in the checked column, or all where a number may offend.
    """

    sentence: str
    severity: Severity
    outcome: Outcome
    unexpected: int | None
    rows: int


@dataclass(frozen=True)
class AuditResult:
    """How the checks of one table came out, in the order of the checks."""

    table: str
    checks: tuple[CheckResult, ...]

    def not_passed(self, severity: Severity) -> tuple[CheckResult, ...]:
        """The checks of this severity that failed or are broken."""
        return tuple(each for each in self.checks if each.severity == severity and each.outcome != "passed")


def audit(con: duckdb.DuckDBPyConnection, table: str, checks: Sequence[Check]) -> AuditResult:
    """Evaluates the checks of a table, temporary or not; those of single rows share one pass over it.

    Nothing is written, committed or rolled back. Inside a transaction a broken check would void that: audit
    before it begins or after it ends.

    Raises:
        ConfigurationError: Great Expectations left a check out; it does so silently if it does not know the
            type or the severity.
    """
    rows = con.table(table).count("*").fetchall()[0][0]
    results = validate(
        con,
        table,
        [{"type": each.expectation, "kwargs": each.kwargs, "severity": each.severity} for each in checks],
    )
    left_out = [f"{each.expectation} ({each.severity})" for place, each in enumerate(checks) if place not in results]
    if left_out:
        raise ConfigurationError(
            f"audit of {table}: Great Expectations does not know {len(left_out)} of {len(checks)} checks:"
            f" {', '.join(left_out)}. The audit does not count. Correct them in config/expectations.py."
        )
    found = tuple(_check_result(check, results[place], rows) for place, check in enumerate(checks))
    return AuditResult(table, found)


def require_passed(audits: Iterable[AuditResult], advice: Iterable[str] = ()) -> None:
    """Lets a run go on only if no critical check failed or is broken.

    Args:
        audits: the audits.
        advice: sentences on where the fault lies, and what to do.

    Raises:
        GateRefused: with a sentence for each check that did not pass: which number broke which limit.
    """
    sentences = [f"{each.table}: {check.sentence}." for each in audits for check in each.not_passed("critical")]
    if sentences:
        raise GateRefused("\n".join([*sentences, *advice, "Nothing was published; the tables of the last run stand."]))


def _check_result(check: Check, result: dict[str, Any], table_rows: int) -> CheckResult:
    problem = _problem(result["exception_info"])
    if problem:
        sentence = f"{check.expectation} could not be evaluated: {problem}"
        return CheckResult(sentence, check.severity, "broken", None, table_rows)
    unexpected, rows = _counts(check, result["result"], table_rows)
    is_met = result["success"]
    if check.most_unexpected is not None and unexpected is not None:
        rows, is_met = table_rows, unexpected <= check.most_unexpected
    share = unexpected / rows if unexpected and rows else 0.0
    sentence = check.says.format(unexpected=unexpected, rows=rows, share=share)
    return CheckResult(sentence, check.severity, "passed" if is_met else "failed", unexpected, rows)


def _counts(check: Check, numbers: dict[str, Any], table_rows: int) -> tuple[int | None, int]:
    if "element_count" in numbers:
        # The count is NULL for an empty table; checks for NULL do not tell missing rows from others.
        return numbers["unexpected_count"] or 0, numbers["element_count"] - numbers.get("missing_count", 0)
    if check.expectation == "expect_query_to_find_no_rows":
        return numbers["observed_value"], table_rows
    return None, table_rows


def _problem(exception_info: dict[str, Any]) -> str | None:
    """Why a check could not be evaluated, in one line, without values: DuckDB puts those in single quotes."""
    infos = [exception_info] if "raised_exception" in exception_info else exception_info.values()
    messages = [each["exception_message"] for each in infos if each["raised_exception"]]
    return re.sub(r"(?<!\w)'.*'", "'...'", messages[0].splitlines()[0]).rstrip(".") if messages else None
