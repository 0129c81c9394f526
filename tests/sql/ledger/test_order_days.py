"""order_days.sql: an account's orders of one day, booked on one day."""

from tests.drawn import Row, drawn, ordered, put, result

ORDINARY = {"account_id": "A", "line": "all", "order_day": "2026-03-01", "booked_on": "2026-03-01", "amount": 100}
AMOUNTS = [
    f"{part}_amount" for part in ("custom", "custom_known", "recurring", "recurring_known", "service", "service_known")
]
LISTED = ["listed_amount", "listed_premium", "listed_lines"]


def lines(text: str) -> list[Row]:
    return drawn(text, **ORDINARY)


def days(text: str) -> list[Row]:
    """The days expected: what is not drawn is 0, or as in `lines`."""
    on = drawn("order_day booked_on\n2026-03-01 2026-03-01")[0]
    zero = dict.fromkeys([*AMOUNTS, *LISTED, "self_service_lines", "channel_known_lines"], 0)
    return ordered({"order_lines": 1} | row for row in drawn(text, account_id="A", line="all", **on, **zero))


def test_lines_add_up_by_account_line_and_both_days(con):
    given = """
        account_id  line  order_day   booked_on   amount
        A           all   2026-03-01  2026-03-01  100.0001
        A           all   2026-03-01  2026-03-01  50.0002
        A           all   2026-03-01  2026-04-10  -40
        A           all   2026-03-02  2026-03-02  30
        A           law   2026-03-01  2026-03-01  20
        B           all   2026-03-01  2026-03-01  10
    """
    put(con, "order_lines", lines(given))
    expected = """
        account_id  line  order_day   booked_on   amount    order_lines
        A           all   2026-03-01  2026-03-01  150.0003  2
        A           all   2026-03-01  2026-04-10  -40       1
        A           all   2026-03-02  2026-03-02  30        1
        A           law   2026-03-01  2026-03-01  20        1
        B           all   2026-03-01  2026-03-01  10        1
    """
    assert result(con, "ledger/order_days") == days(expected)


def test_revenue_of_a_kind_is_kept_apart_from_revenue_of_which_the_kind_is_known(con):
    given = """
        amount  is_custom  is_recurring  is_service
        1       yes        no            -
        10      no         -             yes
        100     -          yes           no
        -1000   yes        yes           yes
    """
    put(con, "order_lines", lines(given))
    known = drawn("custom_known_amount recurring_known_amount service_known_amount\n-989 -899 -890")[0]
    of_kind = "amount custom_amount recurring_amount service_amount order_lines\n-889 -999 -900 -990 4"
    assert result(con, "ledger/order_days") == [day | known for day in days(of_kind)]


def test_lines_of_which_the_channel_is_known_are_counted_and_those_by_self_service_among_them(con):
    put(con, "order_lines", lines("is_self_service\nyes\nyes\nno\n-"))
    expected = days("amount self_service_lines channel_known_lines order_lines\n400 2 3 4")
    assert result(con, "ledger/order_days") == expected


def test_what_was_paid_over_list_price_is_weighted_by_what_was_paid(con):
    put(con, "order_lines", lines("amount list_premium\n100 0.25\n50 -1\n30 -\n-40 -"))
    expected = days("amount listed_amount listed_premium listed_lines order_lines\n140 150 -25 2 4")
    assert result(con, "ledger/order_days") == expected
