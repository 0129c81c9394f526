"""active_months.sql: the calendar months in which an account was active."""

from datetime import date

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 15)  # the twelve months begin with April 2025


def order_days(text: str) -> list[Row]:
    rows = drawn(text, account_id="A", line="all", is_occasion=True)
    return [row | {"order_month": row["order_day"].replace(day=1)} for row in rows]


def contact_days(text: str) -> list[Row]:
    return drawn(text, account_id="A", line="all", inbound_messages=1)


def months(text: str) -> list[Row]:
    return ordered(drawn(text, account_id="A", line="all"))


def test_a_month_counts_once_whatever_happened_in_it(con):
    put(con, "occasion_days", order_days("order_day\n2026-01-01\n2026-01-31\n2026-02-01"))
    put(con, "contact_days", contact_days("contact_day\n2026-01-15\n2026-03-15"))
    assert result(con, "features/active_months", AS_OF) == months("active_months\n3")


def test_the_month_twelve_months_back_is_in_from_its_first_day(con):
    put(con, "occasion_days", order_days("order_day\n2025-03-31\n2025-05-01"))
    put(con, "contact_days", contact_days("contact_day\n2025-03-31\n2025-04-01"))
    assert result(con, "features/active_months", AS_OF) == months("active_months\n2")


def test_a_contact_after_the_day_does_not_count(con):
    put(con, "contact_days", contact_days("contact_day\n2026-02-01\n2026-03-16"))
    assert result(con, "features/active_months", AS_OF) == months("active_months\n1")


def test_a_month_without_an_occasion_or_a_message_from_the_account_is_not_active(con):
    put(con, "occasion_days", order_days("order_day is_occasion\n2026-01-01 no"))
    put(con, "contact_days", contact_days("contact_day inbound_messages\n2026-01-01 0"))
    assert result(con, "features/active_months", AS_OF) == []


def test_each_account_and_line_has_a_row_of_its_own(con):
    put(con, "occasion_days", order_days("account_id line order_day\nA all 2026-01-01\nA law 2026-01-01"))
    put(con, "contact_days", contact_days("account_id line contact_day\nA law 2026-02-01\nB all 2026-02-01"))
    expected = """
        account_id  line  active_months
        A           all   1
        A           law   2
        B           all   1
    """
    assert result(con, "features/active_months", AS_OF) == months(expected)
