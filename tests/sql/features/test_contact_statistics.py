"""contact_statistics.sql: an account's engagement as of a day."""

from datetime import date

import pytest

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 31)
FIRST_IN = "2025-04-01"  # day 365 of the window
LAST_OUT = "2025-03-31"  # day 366
COUNTS = [
    "personal_contacts",
    "live_contacts",
    "inbound_messages",
    "outbound_messages",
    "co_developments",
    "referrals",
    "scores",
    "score_sum",
]
STATISTICS = [
    "personal_contacts_12m",
    "inbound_12m",
    "outbound_12m",
    "live_contact_days_12m",
    "referrals_24m",
    "scores_12m",
    "score_sum_12m",
]
DAYS = ["first_contact_on", "last_contact_on", "first_two_way_on", "last_two_way_on"]


def days(text: str) -> list[Row]:
    return drawn(text, account_id="A", line="all", **dict.fromkeys(COUNTS, 0))


def statistics(text: str) -> list[Row]:
    return ordered(drawn(text, account_id="A", line="all", **dict.fromkeys(STATISTICS, 0), **dict.fromkeys(DAYS)))


@pytest.mark.parametrize(
    ("count", "statistic"),
    [
        ("outbound_messages", "outbound_12m"),
        ("scores", "scores_12m"),
        ("score_sum", "score_sum_12m"),
    ],
)
def test_day_365_of_the_window_is_in_and_day_366_is_out(con, count, statistic):
    put(con, "contact_days", days(f"contact_day {count}\n{LAST_OUT} 1\n{FIRST_IN} 10\n2026-03-31 100\n2026-04-01 1000"))
    assert result(con, "features/contact_statistics", AS_OF) == statistics(f"{statistic}\n110")


def test_personal_contacts_give_the_first_and_the_last_day_of_contact(con):
    given = f"contact_day personal_contacts\n{LAST_OUT} 1\n{FIRST_IN} 10\n2026-03-30 100\n2026-04-01 1000"
    put(con, "contact_days", days(given))
    expected = f"personal_contacts_12m first_contact_on last_contact_on\n110 {LAST_OUT} 2026-03-30"
    assert result(con, "features/contact_statistics", AS_OF) == statistics(expected)


def test_messages_from_the_account_give_the_first_and_the_last_day_of_two_way_contact(con):
    given = f"contact_day inbound_messages\n{LAST_OUT} 1\n{FIRST_IN} 10\n2026-03-30 100\n2026-04-01 1000"
    put(con, "contact_days", days(given))
    expected = f"inbound_12m first_two_way_on last_two_way_on\n110 {LAST_OUT} 2026-03-30"
    assert result(con, "features/contact_statistics", AS_OF) == statistics(expected)


def test_a_day_of_nothing_personal_is_a_row_without_any_contact(con):
    put(con, "contact_days", days("contact_day\n2026-03-01"))
    assert result(con, "features/contact_statistics", AS_OF) == statistics("line\nall")


def test_live_contacts_are_counted_by_the_day(con):
    given = f"contact_day live_contacts\n{LAST_OUT} 1\n{FIRST_IN} 3\n2026-03-30 0\n2026-03-31 1\n2026-04-01 1"
    put(con, "contact_days", days(given))
    assert result(con, "features/contact_statistics", AS_OF) == statistics("live_contact_days_12m\n2")


def test_referrals_count_for_730_days(con):
    given = "contact_day referrals\n2024-03-31 1000\n2024-04-01 1\n2026-03-31 10\n2026-04-01 1000"
    put(con, "contact_days", days(given))
    assert result(con, "features/contact_statistics", AS_OF) == statistics("referrals_24m\n11")


def test_an_account_known_only_from_later_days_has_no_row(con):
    put(con, "contact_days", days("contact_day\n2026-04-01"))
    assert result(con, "features/contact_statistics", AS_OF) == []


def test_each_account_and_line_has_a_row_of_its_own(con):
    given = """
        account_id  line  contact_day  outbound_messages
        A           all   2026-03-01   1
        A           law   2026-03-01   2
        B           all   2026-03-01   3
    """
    put(con, "contact_days", days(given))
    expected = """
        account_id  line  outbound_12m
        A           all   1
        A           law   2
        B           all   3
    """
    assert result(con, "features/contact_statistics", AS_OF) == statistics(expected)
