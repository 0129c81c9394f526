"""monthly_revenue.sql: how an account's monthly revenue is spread."""

from datetime import date

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 15)  # the twelve months begin with April 2025


def days(text: str) -> list[Row]:
    """Rows of occasion_days: what is not drawn is an occasion."""
    rows = drawn(text, account_id="A", line="all", is_occasion=True)
    return [row | {"order_month": row["order_day"].replace(day=1)} for row in rows]


def spreads(text: str) -> list[Row]:
    return ordered(drawn(text, account_id="A", line="all"))


def test_the_days_of_a_calendar_month_add_up_before_they_are_squared(con):
    put(con, "occasion_days", days("order_day amount\n2026-01-01 10\n2026-01-31 20\n2026-02-01 5"))
    expected = spreads("monthly_revenue_sum monthly_revenue_squared_sum\n35 925")
    assert result(con, "features/monthly_revenue", AS_OF) == expected


def test_the_month_twelve_months_back_is_in_from_its_first_day(con):
    put(con, "occasion_days", days("order_day amount\n2025-03-31 1\n2025-04-01 10\n2026-03-15 100"))
    expected = spreads("monthly_revenue_sum monthly_revenue_squared_sum\n110 10100")
    assert result(con, "features/monthly_revenue", AS_OF) == expected


def test_months_before_the_first_occasion_do_not_count_but_days_before_it_in_its_month_do(con):
    given = """
        order_day   amount  is_occasion
        2025-12-31  -7      no
        2026-01-01  -1      no
        2026-01-02  10      yes
        2026-02-01  -2      no
    """
    put(con, "occasion_days", days(given))
    expected = spreads("monthly_revenue_sum monthly_revenue_squared_sum\n7 85")
    assert result(con, "features/monthly_revenue", AS_OF) == expected


def test_without_an_occasion_there_is_no_row(con):
    put(con, "occasion_days", days("order_day amount is_occasion\n2026-01-01 -7 no"))
    assert result(con, "features/monthly_revenue", AS_OF) == []


def test_an_occasion_before_the_twelve_months_lets_all_of_them_count(con):
    put(
        con,
        "occasion_days",
        days("order_day amount is_occasion\n2024-01-01 9 yes\n2025-05-01 -3 no\n2026-01-01 10 yes"),
    )
    expected = spreads("monthly_revenue_sum monthly_revenue_squared_sum\n7 109")
    assert result(con, "features/monthly_revenue", AS_OF) == expected


def test_squares_are_exact_to_the_last_place(con):
    put(con, "occasion_days", days("order_day amount\n2026-01-01 99999999.9999"))
    expected = spreads("monthly_revenue_sum monthly_revenue_squared_sum\n99999999.9999 9999999999980000.00000001")
    assert result(con, "features/monthly_revenue", AS_OF) == expected


def test_each_account_and_line_has_a_row_of_its_own(con):
    given = """
        account_id  line  order_day   amount
        A           all   2026-01-01  1
        A           law   2026-01-01  2
        B           all   2026-01-01  3
    """
    put(con, "occasion_days", days(given))
    expected = """
        account_id  line  monthly_revenue_sum  monthly_revenue_squared_sum
        A           all   1                    1
        A           law   2                    4
        B           all   3                    9
    """
    assert result(con, "features/monthly_revenue", AS_OF) == spreads(expected)
