"""contract_statistics.sql: the days under contract, and prepayments spread over their terms."""

from datetime import date

import pytest

from tests.drawn import Row, drawn, ordered, put, result

AS_OF = date(2026, 3, 31)  # the window begins on 2025-04-01


def terms(text: str) -> list[Row]:
    """Rows of contract_terms: what is not drawn is a year's contract of 365, booked on its first day."""
    rows = drawn(text, account_id="A", line="all", term_days=365, amount=365)
    return [{"booked_on": row["starts_on"]} | row for row in rows]


def statistics(text: str) -> list[Row]:
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
        prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        {booked}            {days_counted}          {days_counted}     {last_day}
    """
    assert result(con, "features/contract_statistics", AS_OF) == statistics(expected)


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
        prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        292                 24.8                    31                 2027-02-28
    """
    assert result(con, "features/contract_statistics", AS_OF) == statistics(expected)


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
        prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        60                  60                      60                 2026-03-01
    """
    assert result(con, "features/contract_statistics", AS_OF) == statistics(expected)


def test_a_day_under_several_contracts_is_one_day_and_the_contract_that_ends_last_counts(con):
    put(con, "contract_terms", terms("starts_on term_days amount\n2026-01-01 91 91\n2026-02-01 60 60"))
    expected = """
        prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        151                 149                     90                 2026-04-01
    """
    assert result(con, "features/contract_statistics", AS_OF) == statistics(expected)


def test_each_account_and_line_has_a_row_of_its_own(con):
    given = """
        account_id  line  starts_on
        A           all   2025-04-01
        A           law   2025-04-02
        B           all   2025-04-03
    """
    put(con, "contract_terms", terms(given))
    expected = """
        account_id  line  prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        A           all   365                 365                     365                2026-03-31
        A           law   365                 364                     364                2026-04-01
        B           all   365                 363                     363                2026-04-02
    """
    assert result(con, "features/contract_statistics", AS_OF) == statistics(expected)


@pytest.mark.parametrize(
    ("given", "days"),
    [
        ("2026-01-01 31\n2026-02-01 28\n2026-03-01 31", 90),
        ("2026-01-01 31\n2026-02-02 27", 58),
        ("2025-06-01 100\n2025-06-01 100\n2025-06-01 50", 100),
        ("2025-01-01 365\n2025-04-01 10\n2025-04-20 10", 275),
        ("2026-01-01 10\n2026-01-05 3\n2026-01-09 10", 18),
        ("2026-03-31 365\n2026-03-01 30", 31),
    ],
    ids=["end to end", "a day between", "the same days", "one within another", "in a chain", "into what comes"],
)
def test_days_under_contract_are_counted_once_however_many_contracts_run(con, given, days):
    put(con, "contract_terms", terms(f"starts_on term_days\n{given}"))
    assert result(con, "features/contract_statistics", AS_OF)[0]["contract_days_12m"] == days


def test_a_contract_that_was_given_back_hides_no_day_of_another(con):
    given = """
        starts_on   booked_on   term_days  amount
        2025-05-01  2025-05-01  300        300
        2025-05-01  2025-05-02  300        -300
        2025-06-01  2025-06-01  30         30
    """
    put(con, "contract_terms", terms(given))
    assert result(con, "features/contract_statistics", AS_OF)[0]["contract_days_12m"] == 30


def test_a_month_by_month_contract_is_no_prepayment_but_runs(con):
    put(con, "contract_terms", terms("starts_on term_days amount\n2026-03-10 30 300"))
    expected = """
        prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        0                   0                       22                 2026-04-08
    """
    assert result(con, "features/contract_statistics", AS_OF) == statistics(expected)
