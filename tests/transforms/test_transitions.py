"""Since when each account as a whole has its segment, which one it had before, and why it changed."""

from datetime import date

import polars as pl
import pytest

from transforms.holding import NO_STANDINGS
from transforms.transitions import with_history

AS_OF = date(2026, 3, 31)
LONG_AGO, BEFORE_THAT = date(2025, 6, 1), "prospect"


def account(segment: str, because: str | None, line_before: str | None, before: str | None) -> tuple:
    """Segment since when, the one before and why, of an account that had a segment before, or none, as its leading line had."""
    whole = pl.DataFrame(
        {
            "account_id": ["A"],
            "line": ["*"],
            "segment": [segment],
            "segment_since": [date(2026, 3, 1)],
            "previous_segment": [line_before],
            "because": [because],
        },
        schema_overrides={"because": pl.String, "previous_segment": pl.String},
    )
    standings = NO_STANDINGS
    if before:
        standing = {"account_id": "A", "line": "*", "segment": before, "segment_since": LONG_AGO}
        standings = pl.DataFrame([standing | {"previous_segment": BEFORE_THAT}], schema=NO_STANDINGS.schema)
    (row,) = with_history(whole, standings, AS_OF).to_dicts()
    assert row["held_segment"] is row["held_since"] is row["contrary_since"] is row["is_under_contract"] is None
    return row["segment_since"], row["previous_segment"], row["because"]


@pytest.mark.parametrize(
    ("segment", "because", "line_before", "before", "expected"),
    [
        ("client", None, "customer", None, (AS_OF, None, "first seen")),
        ("client", "score", "customer", None, (AS_OF, None, "first seen")),
        ("client", None, "customer", "client", (LONG_AGO, BEFORE_THAT, None)),
        ("client", "score", "customer", "client", (LONG_AGO, BEFORE_THAT, None)),
        ("client", "score", "customer", "customer", (AS_OF, "customer", "score")),
        ("client", "contract started", "prospect", "prospect", (AS_OF, "prospect", "contract started")),
        ("customer", None, None, "client", (AS_OF, "client", "another line leads")),
        ("customer", None, "client", "client", (AS_OF, "client", "another line leads")),
        ("customer", "first order", "prospect", "client", (AS_OF, "client", "another line leads")),
        ("customer", "first order", "prospect", "prospect", (AS_OF, "prospect", "first order")),
        ("customer", "first seen", None, "prospect", (AS_OF, "prospect", "first order")),
        ("client", "first seen", None, "customer", (AS_OF, "customer", "another line leads")),
    ],
)
def test_an_account_has_a_history_of_its_own(segment, because, line_before, before, expected):
    assert account(segment, because, line_before, before) == expected
