"""The gate on change, at its limits."""

import pytest

from config.settings import Gates
from flows.gates import Change, beyond_limit

GATES = Gates(changed_share=0.05, changed_times_usual=2)


def runs(*shares: float | None) -> list[dict]:
    return [{"changed_share": share} for share in shares]


@pytest.mark.parametrize(
    ("accounts", "shares", "is_held"),
    [
        (5, (), False),
        (6, (), True),
        (5, (0.0, 0.0, 0.0), False),
        (6, (0.0, 0.0, 0.0), True),
        (8, (0.04,), False),
        (9, (0.04,), True),
        (8, (0.01, 0.04, 0.9), False),
        (9, (0.01, 0.04, 0.9), True),
        (100, (0.6,), False),
    ],
)
def test_a_change_is_held_above_the_share_and_above_twice_the_usual(accounts, shares, is_held):
    assert (beyond_limit(Change(accounts, 100), GATES, runs(*shares)) is not None) == is_held


def test_the_first_publication_changes_nothing():
    assert Change(0, 0).share is None
    assert beyond_limit(Change(0, 0), GATES, runs(None)) is None


def test_the_sentence_says_which_number_broke_which_limit():
    assert beyond_limit(Change(312, 3000), GATES, runs(0.01, 0.03, None)) == (
        "312 of 3,000 accounts (10.40%) would change segment; the limit is 5.00% (the median of the last 2 runs is 2.00%)"
    )
