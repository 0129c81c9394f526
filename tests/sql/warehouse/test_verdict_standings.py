"""verdict_standings.sql: the standings of the day that are other than the last day left them."""

from datetime import date

import pytest

from tests.drawn import drawn, put, result

AS_OF = date(2026, 3, 31)
BEFORE = {
    "account_id": "A",
    "line": "law",
    "segment": "client",
    "segment_since": date(2026, 1, 1),
    "previous_segment": None,
    "held_segment": "client",
    "held_since": date(2026, 1, 1),
    "contrary_since": None,
    "is_under_contract": False,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"segment": "customer"},
        {"segment_since": date(2026, 3, 31)},
        {"previous_segment": "prospect"},
        {"held_segment": "customer"},
        {"held_since": date(2026, 3, 31)},
        {"contrary_since": date(2026, 3, 31)},
        {"is_under_contract": True},
        {"held_segment": None},
        {"line": "shop"},
        {"account_id": "B"},
    ],
    ids=str,
)
def test_one_column_that_differs_makes_a_new_standing(con, changed):
    put(con, "standings_before", [BEFORE])
    put(con, "verdicts", [BEFORE | changed])
    expected = BEFORE | changed | {"valid_from": AS_OF, "valid_to": None}
    assert result(con, "warehouse/verdict_standings", AS_OF) == [expected]


def test_a_standing_that_stays_is_no_new_one(con):
    put(con, "standings_before", [BEFORE, *drawn("account_id line segment\nB law client")])
    put(con, "verdicts", [BEFORE])
    assert result(con, "warehouse/verdict_standings", AS_OF) == []
