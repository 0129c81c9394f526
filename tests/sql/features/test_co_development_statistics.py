"""co_development_statistics.sql: how much an account takes part in development."""

from datetime import date

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 31)
FIRST_IN = "2025-04-01"  # day 365 of the window
LAST_OUT = "2025-03-31"  # day 366


def days(text: str) -> list[Row]:
    return drawn(text, account_id="A", line="all")


def statistics(text: str) -> list[Row]:
    return ordered(drawn(text, account_id="A", line="all"))


def test_a_part_in_development_is_worth_half_after_180_days_and_nothing_after_365(con):
    given = f"""
        contact_day  co_developments
        {LAST_OUT}   1000
        2025-04-05   4
        2025-10-02   4
        2026-03-31   1
        2026-04-01   1000
    """
    put(con, "contact_days", days(given))
    expected = "last_co_development_on co_development_mass\n2026-03-31 4"
    assert result(con, "features/co_development_statistics", AS_OF) == statistics(expected)


def test_the_mass_is_that_of_the_last_day_whatever_the_day_counted_up_to(con):
    put(con, "contact_days", days(f"contact_day co_developments\n{FIRST_IN} 2\n2025-09-28 3\n2026-01-01 0"))
    expected = statistics("last_co_development_on co_development_mass\n2025-09-28 4")
    for as_of in (date(2025, 9, 28), AS_OF):
        assert result(con, "features/co_development_statistics", as_of) == expected


def test_each_account_and_line_with_a_part_in_it_has_a_row_of_its_own(con):
    given = """
        account_id  line  contact_day  co_developments
        A           all   2026-03-01   1
        A           law   2026-03-02   2
        B           all   2026-03-03   3
        C           all   2026-03-03   0
    """
    put(con, "contact_days", drawn(given))
    expected = """
        account_id  line  last_co_development_on  co_development_mass
        A           all   2026-03-01              1
        A           law   2026-03-02              2
        B           all   2026-03-03              3
    """
    assert result(con, "features/co_development_statistics", AS_OF) == ordered(drawn(expected))
