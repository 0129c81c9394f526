"""order_statistics.sql: an account's purchases as of a day."""

from datetime import date

import pytest

from tests.drawn import Row, drawn, put, result

AS_OF = date(2026, 3, 31)
FIRST_IN = "2025-04-01"  # day 365 of the window
LAST_OUT = "2025-03-31"  # day 366
KINDS = ["custom", "custom_known", "recurring", "recurring_known", "service", "service_known"]


def days(text: str) -> list[Row]:
    """Rows of occasion_days: what is not drawn is 0, or an occasion of 100."""
    flags = {"is_occasion": True, "is_channel_known": False, "is_self_service": False}
    zero = dict.fromkeys([*(f"{kind}_amount" for kind in KINDS), "listed_amount", "listed_premium", "listed_lines"], 0)
    return drawn(text, account_id="A", line="all", amount=100, **flags, **zero)


def statistics(**known) -> Row:
    """The row expected: what is not said is 0 or unknown."""
    gaps = ["gaps_12m", "gap_days_12m", "gap_days_squared_12m"]
    counts = ["occasions", "occasions_12m", *gaps, "channel_known_days_12m", "self_service_days_12m"]
    money = [
        "repeat_revenue",
        "listed_12m",
        "listed_premium_12m",
        "listed_lines_12m",
        *(f"{kind}_12m" for kind in KINDS),
    ]
    unknown = dict.fromkeys(["first_order_on", "last_order_on", "revenue_total", "revenue_12m"])
    return {"account_id": "A", "line": "all"} | dict.fromkeys([*counts, *money], 0) | unknown | known


def day(text: str) -> date:
    return date.fromisoformat(text)


def test_day_365_of_the_window_is_in_and_day_366_is_out(con):
    put(con, "occasion_days", days(f"order_day amount\n{LAST_OUT} 1\n{FIRST_IN} 10\n2026-03-31 100"))
    assert result(con, "features/order_statistics", AS_OF) == [
        statistics(
            first_order_on=day(LAST_OUT),
            last_order_on=AS_OF,
            occasions=3,
            occasions_12m=2,
            revenue_total=111,
            revenue_12m=110,
        )
    ]


def test_the_window_of_a_leap_year_has_365_days_too(con):
    put(con, "occasion_days", days("order_day amount\n2023-03-01 1\n2023-03-02 10\n2024-02-29 100"))
    found = result(con, "features/order_statistics", date(2024, 2, 29))[0]
    assert (found["occasions_12m"], found["revenue_12m"]) == (2, 110)


def test_a_gap_counts_where_both_its_occasions_lie_in_the_window(con):
    given = f"""
        order_day   gap_days
        {LAST_OUT}  -
        {FIRST_IN}  1
        2025-04-11  10
        2025-04-14  3
    """
    put(con, "occasion_days", days(given))
    assert result(con, "features/order_statistics", AS_OF) == [
        statistics(
            first_order_on=day(LAST_OUT),
            last_order_on=day("2025-04-14"),
            occasions=4,
            occasions_12m=3,
            gaps_12m=2,
            gap_days_12m=13,
            gap_days_squared_12m=109,
            repeat_revenue=300,
            revenue_total=400,
            revenue_12m=300,
        )
    ]


def test_days_that_are_no_occasions_count_for_revenue_alone(con):
    given = """
        order_day   amount  is_occasion
        2026-01-01  -30     no
        2026-01-02  100     yes
        2026-01-03  0       no
        2026-01-04  -20     no
    """
    put(con, "occasion_days", days(given))
    assert result(con, "features/order_statistics", AS_OF) == [
        statistics(
            first_order_on=day("2026-01-02"),
            last_order_on=day("2026-01-02"),
            occasions=1,
            occasions_12m=1,
            revenue_total=50,
            revenue_12m=50,
        )
    ]


def test_orders_given_back_in_full_equal_never_having_had_them(con):
    put(con, "occasion_days", days("order_day amount is_occasion\n2026-01-01 0 no\n2026-01-02 0 no"))
    assert result(con, "features/order_statistics", AS_OF) == [statistics()]


def test_what_was_given_back_without_its_order_leaves_revenue_below_nothing(con):
    put(con, "occasion_days", days("order_day amount is_occasion\n2026-01-01 -20 no"))
    assert result(con, "features/order_statistics", AS_OF) == [statistics(revenue_total=-20, revenue_12m=-20)]


def test_days_that_cancel_each_other_out_are_revenue_of_nothing_and_not_unknown(con):
    put(con, "occasion_days", days("order_day amount is_occasion\n2026-01-01 20 yes\n2026-01-02 -20 no"))
    found = result(con, "features/order_statistics", AS_OF)[0]
    assert (found["revenue_total"], found["revenue_12m"]) == (0, 0)


def test_revenue_of_before_the_window_leaves_the_windows_at_nothing(con):
    put(con, "occasion_days", days(f"order_day\n{LAST_OUT}"))
    found = result(con, "features/order_statistics", AS_OF)[0]
    assert (found["revenue_total"], found["revenue_12m"], found["occasions_12m"]) == (100, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_revenue_of_a_kind_adds_up_over_the_window(con, kind):
    put(con, "occasion_days", days(f"order_day {kind}_amount\n{LAST_OUT} 1\n{FIRST_IN} 10\n2026-03-31 100"))
    found = result(con, "features/order_statistics", AS_OF)[0]
    assert {name: value for name, value in found.items() if name in [f"{kind}_12m" for kind in KINDS] and value} == {
        f"{kind}_12m": 110
    }


def test_repeat_revenue_is_that_of_the_occasions_after_the_first(con):
    given = f"""
        order_day   amount  is_occasion  gap_days
        2020-01-01  1       yes          -
        {LAST_OUT}  10      yes          1916
        {FIRST_IN}  100     yes          1
        2026-01-01  -1000   no           -
    """
    put(con, "occasion_days", days(given))
    assert result(con, "features/order_statistics", AS_OF)[0]["repeat_revenue"] == 110


def test_channels_are_counted_for_occasions_in_the_window(con):
    given = f"""
        order_day   is_occasion  is_channel_known  is_self_service
        {LAST_OUT}  yes          yes               yes
        {FIRST_IN}  yes          yes               yes
        2025-05-01  yes          yes               no
        2025-05-02  yes          no                no
        2025-05-03  no           yes               yes
    """
    put(con, "occasion_days", days(given))
    found = result(con, "features/order_statistics", AS_OF)[0]
    assert (found["channel_known_days_12m"], found["self_service_days_12m"]) == (2, 1)


def test_each_account_and_line_has_a_row_of_its_own(con):
    put(con, "occasion_days", days("account_id line order_day\nA all 2026-01-01\nA law 2026-01-02\nB all 2026-01-03"))
    found = result(con, "features/order_statistics", AS_OF)
    assert {(row["account_id"], row["line"], row["first_order_on"]) for row in found} == {
        ("A", "all", day("2026-01-01")),
        ("A", "law", day("2026-01-02")),
        ("B", "all", day("2026-01-03")),
    }


def test_the_longest_gap_there_can_be_overflows_nothing(con):
    put(con, "occasion_days", days("order_day gap_days\n1900-01-01 -\n2026-11-22 46346"))
    found = result(con, "features/order_statistics", date(2026, 11, 22))[0]
    assert (found["occasions"], found["gaps_12m"]) == (2, 0)
