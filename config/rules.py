"""What makes an incoming row unfit, defined once.

A rule says it twice on purpose: as SQL, which sends the row to quarantine, and as an expectation, which
counts the same rows in the audit. A test holds the two to the same counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from config.tables import ENGAGEMENTS, ORDERS, Table

IncomingTable = Literal["checked_orders", "checked_engagements"]
INCOMING: dict[str, IncomingTable] = {"orders": "checked_orders", "engagements": "checked_engagements"}

KINDS = (
    "call",
    "campaign",
    "chat",
    "consultation",
    "design_review",
    "email",
    "feature_request",
    "feedback",
    "meeting",
    "pilot",
    "referral",
    "survey",
    "ticket",
    "visit",
)
DIRECTIONS = ("inbound", "mutual", "outbound")
ROLL_UP = "*"

FIRST_DAY = "1900-01-01"
TOO_MUCH = 1_000_000_000
LONGEST_MINUTES = 366 * 24 * 60
LONGEST_TERM_MONTHS = 120
LONGEST_NAME = 300
"""Of an account, or a line of business: two of them and a day fit into an entry of any database's index."""


@dataclass(frozen=True)
class Rule:
    """One way for an incoming row to be unfit.

    Attributes:
        reason: why a row is refused, in words; the quarantine shows it. Two rules may share one.
        predicate: SQL over the row's columns, true for an unfit row; NULL counts as fit. In SQL that
            means the same on DuckDB and Spark.
        expectation: type of the Great Expectations check that counts the same rows.
        kwargs: the check's arguments.
    """

    reason: str
    predicate: str
    expectation: str
    kwargs: dict[str, Any]


def _unreadable(columns: Table) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"{column.name} is unreadable",
            f"position(',{column.name},' in unreadable) > 0",
            "expect_column_values_to_not_match_regex",
            {"column": "unreadable", "regex": f",{column.name},"},
        )
        for column in columns
        if column.type != "VARCHAR"
    )


def _missing(columns: Table) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"{column.name} is missing",
            f"{column.name} is null",
            "expect_column_values_to_not_be_null",
            {"column": column.name},
        )
        for column in columns
        if column.required
    )


def _empty(*columns: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"{column} is missing",
            f"{column} = ''",
            "expect_column_values_to_not_be_in_set",
            {"column": column, "value_set": [""]},
        )
        for column in columns
    )


def _holding_nul(*columns: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"{column} holds a NUL character",
            f"position(chr(0) in {column}) > 0",
            "expect_column_values_to_not_match_like_pattern",
            {"column": column, "like_pattern": "%\0%"},
        )
        for column in columns
    )


def _too_long(*columns: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"{column} is longer than {LONGEST_NAME} characters",
            f"length({column}) > {LONGEST_NAME}",
            "expect_column_value_lengths_to_be_between",
            {"column": column, "max_value": LONGEST_NAME},
        )
        for column in columns
    )


def _misdated(day: str, moment: str) -> tuple[Rule, ...]:
    return (
        Rule(
            f"{moment} is before 1900",
            f"{day} < date '{FIRST_DAY}'",
            "expect_column_values_to_be_between",
            {"column": day, "min_value": FIRST_DAY},
        ),
        Rule(
            f"{moment} is later than the day after it was delivered",
            f"{day} > cast(delivered_at as date) + 1",
            "expect_column_pair_values_a_to_be_greater_than_b",
            {
                "column_A": "latest_on",
                "column_B": day,
                "or_equal": True,
                "ignore_row_if": "either_value_is_missing",
            },
        ),
    )


def _outside(column: str, low: int, high: int) -> Rule:
    return Rule(
        f"{column} is out of range",
        f"{column} < {low} or {column} > {high}",
        "expect_column_values_to_be_between",
        {"column": column, "min_value": low, "max_value": high},
    )


def _too_much(column: str) -> Rule:
    return Rule(
        f"{column} is out of range",
        f"{column} <= -{TOO_MUCH} or {column} >= {TOO_MUCH}",
        "expect_column_values_to_be_between",
        {
            "column": column,
            "min_value": -TOO_MUCH,
            "max_value": TOO_MUCH,
            "strict_min": True,
            "strict_max": True,
        },
    )


def _unknown(column: str, known: Iterable[str]) -> Rule:
    listed = ", ".join(f"'{name}'" for name in known)
    return Rule(
        f"{column} is not one of those known",
        f"{column} not in ({listed})",
        "expect_column_values_to_be_in_set",
        {"column": column, "value_set": list(known)},
    )


_RESERVED_LINE = Rule(
    f"line is {ROLL_UP}, which is reserved",
    f"line = '{ROLL_UP}'",
    "expect_column_values_to_not_be_in_set",
    {"column": "line", "value_set": [ROLL_UP]},
)

_FOREIGN_CURRENCY = Rule(
    "currency is not the reporting currency",
    "currency <> reporting_currency",
    "expect_column_pair_values_to_be_equal",
    {"column_A": "currency", "column_B": "reporting_currency", "ignore_row_if": "either_value_is_missing"},
)

RULES: dict[IncomingTable, tuple[Rule, ...]] = {
    "checked_orders": (
        *_unreadable(ORDERS),
        *_missing(ORDERS),
        *_empty("order_id", "account_id"),
        *_holding_nul("order_id", "account_id", "line"),
        *_too_long("account_id", "line"),
        *_misdated("ordered_on", "ordered_at"),
        _too_much("amount"),
        _too_much("quantity"),
        _outside("term_months", 1, LONGEST_TERM_MONTHS),
        _FOREIGN_CURRENCY,
        _RESERVED_LINE,
    ),
    "checked_engagements": (
        *_unreadable(ENGAGEMENTS),
        *_missing(ENGAGEMENTS),
        *_empty("account_id"),
        *_holding_nul("event_id", "account_id", "line"),
        *_too_long("account_id", "line"),
        *_misdated("occurred_on", "occurred_at"),
        _unknown("kind", KINDS),
        _unknown("direction", DIRECTIONS),
        _outside("minutes", 0, LONGEST_MINUTES),
        _outside("score", 0, 1),
        _RESERVED_LINE,
    ),
}
"""A row is refused for the first rule it breaks, so a value that cannot be read is not called missing."""
