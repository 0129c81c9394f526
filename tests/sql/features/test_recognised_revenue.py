"""recognised_revenue.sql: prepayments spread over their terms."""

from datetime import date

import pytest

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 31)  # the window begins on 2025-04-01


def terms(text: str) -> list[Row]:
    """Rows of contract_terms: what is not drawn is a year's contract of 365, booked on its first day."""
    rows = drawn(text, account_id="A", line="all", term_days=365, amount=365)
    return [{"booked_on": row["starts_on"]} | row for row in rows]


def recognised(text: str) -> list[Row]:
    return ordered(drawn(text, account_id="A", line="all"))


@pytest.mark.parametrize(
    ("starts_on", "days_counted", "booked", "last_day"),
    [
        ("2026-03-31", 1, 365, "2027-03-30"),
        ("2026-03-01", 31, 365, "2027-02-28"),
        ("2025-04-01", 365, 365, "2026-03-31"),
        ("2025-03-31", 364, 0, "2026-03-30"),
        ("2024-04-02", 1, 0, "2025-04-01"),
        ("2024-04-01", 0, 0, "2025-03-31"),
        ("2023-01-01", 0, 0, "2023-12-31"),
    ],
)
def test_each_day_of_the_term_in_the_window_brings_its_part(con, starts_on, days_counted, booked, last_day):
    put(con, "contract_terms", terms(f"starts_on\n{starts_on}"))
    expected = f"""
        prepaid_booked_12m  prepaid_recognised_12m  contract_runs_until
        {booked}            {days_counted}          {last_day}
    """
    assert result(con, "features/recognised_revenue", AS_OF) == recognised(expected)


def test_what_was_booked_after_the_day_does_not_count_yet(con):
    given = """
        starts_on   booked_on   amount
        2026-03-01  2026-03-01  365
        2026-03-01  2026-03-31  -73
        2026-03-01  2026-04-01  -292
        2026-04-01  2026-04-01  365
    """
    put(con, "contract_terms", terms(given))
    expected = """
        prepaid_booked_12m  prepaid_recognised_12m  contract_runs_until
        292                 24.8                    2027-02-28
    """
    assert result(con, "features/recognised_revenue", AS_OF) == recognised(expected)


def test_a_contract_that_was_cancelled_or_given_back_in_full_does_not_run(con):
    given = """
        starts_on   booked_on   term_days  amount
        2026-01-01  2026-01-01  60         60
        2026-02-01  2026-02-01  365        365
        2026-02-01  2026-03-01  365        -365
        2026-03-01  2026-03-01  730        0
    """
    put(con, "contract_terms", terms(given))
    expected = """
        prepaid_booked_12m  prepaid_recognised_12m  contract_runs_until
        60                  60                      2026-03-01
    """
    assert result(con, "features/recognised_revenue", AS_OF) == recognised(expected)


def test_of_several_contracts_the_one_that_ends_last_counts(con):
    put(con, "contract_terms", terms("starts_on term_days amount\n2026-01-01 91 91\n2026-02-01 60 60"))
    expected = """
        prepaid_booked_12m  prepaid_recognised_12m  contract_runs_until
        151                 149                     2026-04-01
    """
    assert result(con, "features/recognised_revenue", AS_OF) == recognised(expected)


def test_each_account_and_line_has_a_row_of_its_own(con):
    given = """
        account_id  line  starts_on
        A           all   2025-04-01
        A           law   2025-04-02
        B           all   2025-04-03
    """
    put(con, "contract_terms", terms(given))
    expected = """
        account_id  line  prepaid_booked_12m  prepaid_recognised_12m  contract_runs_until
        A           all   365                 365                     2026-03-31
        A           law   365                 364                     2026-04-01
        B           all   365                 363                     2026-04-02
    """
    assert result(con, "features/recognised_revenue", AS_OF) == recognised(expected)
