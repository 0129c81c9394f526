"""occasion_days.sql: the days of an account's orders, and which of them are purchase occasions."""

from datetime import date

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 31)
AMOUNTS = [
    f"{part}_amount" for part in ("custom", "custom_known", "recurring", "recurring_known", "service", "service_known")
]

LISTED = ["listed_amount", "listed_premium", "listed_lines"]


def booked(text: str) -> list[Row]:
    """Rows of order_days: what is not drawn is 0, and booked on its day."""
    zero = dict.fromkeys([*AMOUNTS, *LISTED, "self_service_lines", "channel_known_lines"], 0)
    rows = drawn(text, account_id="A", line="all", amount=100, **zero)
    return [{"booked_on": row["order_day"]} | row for row in rows]


def days(text: str) -> list[Row]:
    """The days expected: what is not drawn is an occasion of 100 without a channel."""
    zero = dict.fromkeys([*AMOUNTS, *LISTED], 0) | {
        "is_channel_known": False,
        "is_self_service": False,
        "gap_days": None,
    }
    rows = drawn(text, account_id="A", line="all", amount=100, is_occasion=True, **zero)
    return ordered(row | {"order_month": row["order_day"].replace(day=1)} for row in rows)


def test_what_was_booked_up_to_the_day_counts_and_the_day_itself_is_in(con):
    given = """
        order_day   booked_on   amount
        2026-03-31  2026-03-31  100
        2026-03-30  2026-03-30  100
        2026-03-30  2026-03-31  -30
        2026-03-30  2026-04-01  -70
        2026-04-01  2026-04-01  100
    """
    put(con, "order_days", booked(given))
    expected = """
        order_day   amount  gap_days
        2026-03-30  70      -
        2026-03-31  100     1
    """
    assert result(con, "features/occasion_days", AS_OF) == days(expected)


def test_a_day_is_an_occasion_where_its_net_amount_is_above_nothing(con):
    given = """
        order_day   booked_on   amount
        2026-03-01  2026-03-01  0.0001
        2026-03-02  2026-03-02  100
        2026-03-02  2026-03-09  -100
        2026-03-03  2026-03-03  0
        2026-03-04  2026-03-04  -20
    """
    put(con, "order_days", booked(given))
    expected = """
        order_day   amount  is_occasion
        2026-03-01  0.0001  yes
        2026-03-02  0       no
        2026-03-03  0       no
        2026-03-04  -20     no
    """
    assert result(con, "features/occasion_days", AS_OF) == days(expected)


def test_a_gap_reaches_back_over_days_that_are_no_occasions(con):
    given = """
        account_id  line  order_day   amount
        A           all   2026-03-01  100
        A           all   2026-03-08  -20
        A           all   2026-03-09  0
        A           all   2026-03-15  100
        A           all   2026-03-16  100
        A           law   2026-03-03  100
        B           all   2026-03-04  100
    """
    put(con, "order_days", booked(given))
    expected = """
        account_id  line  order_day   amount  is_occasion  gap_days
        A           all   2026-03-01  100     yes          -
        A           all   2026-03-08  -20     no           -
        A           all   2026-03-09  0       no           -
        A           all   2026-03-15  100     yes          14
        A           all   2026-03-16  100     yes          1
        A           law   2026-03-03  100     yes          -
        B           all   2026-03-04  100     yes          -
    """
    assert result(con, "features/occasion_days", AS_OF) == days(expected)


def test_a_gap_counts_the_leap_day(con):
    put(con, "order_days", booked("order_day\n2024-02-28\n2024-03-01"))
    assert result(con, "features/occasion_days", date(2024, 3, 1)) == days(
        "order_day gap_days\n2024-02-28 -\n2024-03-01 2"
    )


def test_a_day_is_self_service_where_all_its_lines_of_known_channel_are(con):
    given = """
        order_day   booked_on   channel_known_lines  self_service_lines
        2026-03-01  2026-03-01  0                    0
        2026-03-02  2026-03-02  2                    2
        2026-03-03  2026-03-03  2                    1
        2026-03-04  2026-03-04  1                    1
        2026-03-04  2026-03-05  1                    0
    """
    put(con, "order_days", booked(given))
    expected = """
        order_day   amount  gap_days  is_channel_known  is_self_service
        2026-03-01  100     -         no                no
        2026-03-02  100     1         yes               yes
        2026-03-03  100     1         yes               no
        2026-03-04  200     1         yes               no
    """
    assert result(con, "features/occasion_days", AS_OF) == days(expected)


def test_amounts_of_each_kind_add_up_over_bookings(con):
    for part in [*AMOUNTS, *LISTED]:
        given = f"""
            order_day   booked_on   {part}
            2026-03-01  2026-03-01  10
            2026-03-01  2026-03-05  -4
        """
        put(con, "order_days", booked(given))
        assert result(con, "features/occasion_days", AS_OF) == days(f"order_day amount {part}\n2026-03-01 200 6")
