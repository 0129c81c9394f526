"""Since when each account has its segment, and which one it had before."""

from datetime import date

import polars as pl
import pytest

from tests.drawn import drawn
from tests.night import NOTHING_PUBLISHED
from transforms.transitions import with_history

AS_OF = date(2026, 3, 31)


def dated(verdicts: str, previous: str) -> list[dict]:
    """The history of drawn verdicts, after what was published."""
    published = pl.DataFrame(drawn(previous, line="all"), schema=NOTHING_PUBLISHED.schema)
    return with_history(pl.DataFrame(drawn(verdicts, line="all")), published, AS_OF).to_dicts()


PUBLISHED = "account_id as_of segment segment_since previous_segment"


@pytest.mark.parametrize(
    ("published", "since", "before"),
    [
        ("A 2026-03-30 client 2025-06-01 customer", "2025-06-01", "customer"),
        ("A 2026-03-30 client 2025-06-01 -", "2025-06-01", "-"),
        ("A 2026-03-30 customer 2025-06-01 -", "2026-03-31", "customer"),
        ("A 2026-03-30 customer 2025-06-01 client", "2026-03-31", "customer"),
        ("A 2026-03-31 client 2026-03-31 customer", "2026-03-31", "customer"),
        ("A 2026-03-31 client 2025-06-01 customer", "2025-06-01", "customer"),
        ("A 2026-04-01 client 2025-06-01 customer", "2026-03-31", "-"),
        ("A 2026-04-01 customer 2025-06-01 client", "2026-03-31", "-"),
        ("B 2026-03-30 client 2025-06-01 customer", "2026-03-31", "-"),
        ("", "2026-03-31", "-"),
    ],
)
def test_a_segment_lasts_since_the_day_it_was_first_published_in_a_row(published, since, before):
    expected = drawn(f"account_id segment segment_since previous_segment\nA client {since} {before}", line="all")
    assert dated("account_id segment\nA client", f"{PUBLISHED}\n{published}") == expected


def test_each_line_and_the_roll_up_have_a_history_of_their_own():
    verdicts = """
        account_id  line  segment
        B           *     client
        A           law   client
        A           shop  customer
    """
    previous = """
        account_id  line  as_of       segment   segment_since  previous_segment
        A           shop  2026-03-30  client    2025-01-01     -
        A           law   2026-03-30  client    2025-02-01     -
        A           web   2026-03-30  customer  2025-03-01     -
        B           *     2026-03-30  client    2025-04-01     prospect
    """
    expected = """
        account_id  line  segment   segment_since  previous_segment
        B           *     client    2025-04-01     prospect
        A           law   client    2025-02-01     -
        A           shop  customer  2026-03-31     client
    """
    assert dated(verdicts, previous) == drawn(expected)
