"""Which result goes on from what is published of the days before its own."""

from datetime import date

import pytest

from flows.history import goes_on
from tests.drawn import drawn

LEDGER = """
    run_id  as_of       stands  rolled_back_to
    again   2025-10-01  yes     -
    back    2025-10-02  yes     second
    third   2025-10-03  no      -
    second  2025-10-02  yes     -
    first   2025-10-01  yes     -
"""


@pytest.mark.parametrize(
    ("day", "continues", "is_so"),
    [
        (1, None, True),
        (1, "first", False),
        (2, "again", True),
        (2, "first", False),
        (2, None, False),
        (3, "second", True),
        (3, "back", True),
        (3, "another", False),
        (4, "third", False),
        (4, "back", True),
    ],
)
def test_a_result_goes_on_from_the_last_publication_of_the_last_day_that_stands(day, continues, is_so):
    assert goes_on(drawn(LEDGER), date(2025, 10, day), continues) is is_so
