"""contract_terms.sql: recurring revenue by its first day and its term."""

from calendar import monthrange
from datetime import date, timedelta
from itertools import pairwise

import pytest

from tests.drawn import Row, drawn, ordered, put, result


def lines(text: str) -> list[Row]:
    on = {"order_day": "2026-03-01", "booked_on": "2026-03-01"}
    return drawn(text, account_id="A", line="all", amount=100, is_recurring=True, **on)


def terms(text: str) -> list[Row]:
    on = drawn("starts_on booked_on\n2026-03-01 2026-03-01")[0]
    return ordered({"order_lines": 1} | row for row in drawn(text, account_id="A", line="all", amount=100, **on))


@pytest.mark.parametrize(
    ("months", "days"), [(1, 31), (2, 61), (3, 92), (6, 184), (11, 337), (12, 365), (18, 549), (24, 731), (120, 3653)]
)
def test_a_term_lasts_until_the_day_before_the_same_day_of_the_month(con, months, days):
    put(con, "order_lines", lines(f"term_months\n{months}"))
    assert result(con, "ledger/contract_terms") == terms(f"term_days\n{days}")


@pytest.mark.parametrize(
    ("first", "months", "days"),
    [
        ("2026-01-30", 1, 29),
        ("2026-01-31", 1, 28),
        ("2024-01-31", 1, 29),
        ("2026-03-31", 1, 30),
        ("2026-02-28", 1, 31),
        ("2024-02-28", 1, 29),
        ("2026-04-30", 3, 92),
        ("2024-02-29", 12, 365),
        ("2026-06-30", 6, 184),
    ],
)
def test_a_term_ends_before_the_last_day_of_a_month_that_has_no_such_day_and_so_does_one_from_a_last_day(
    con, first, months, days
):
    put(con, "order_lines", lines(f"order_day booked_on term_months\n{first} {first} {months}"))
    (found,) = result(con, "ledger/contract_terms")
    assert found["term_days"] == days


@pytest.mark.parametrize("invoiced_on", [1, 28, 31])
def test_what_is_invoiced_on_one_day_or_the_last_of_every_month_runs_without_a_gap(con, invoiced_on):
    firsts = [date(2026, month, min(invoiced_on, monthrange(2026, month)[1])) for month in range(1, 13)]
    put(con, "order_lines", [row for first in firsts for row in lines(f"order_day booked_on\n{first} {first}")])
    found = sorted((row["starts_on"], row["term_days"]) for row in result(con, "ledger/contract_terms"))
    assert all(first + timedelta(days=days) >= after for (first, days), (after, _) in pairwise(found))


def test_what_is_not_recurring_is_no_contract(con):
    put(con, "order_lines", lines("is_recurring term_months\nno 12\n- 12\nno -"))
    assert result(con, "ledger/contract_terms") == []


def test_a_contract_without_a_term_runs_for_a_month(con):
    put(con, "order_lines", lines("term_months amount\n- 100\n1 30"))
    assert result(con, "ledger/contract_terms") == terms("term_days amount order_lines\n31 130 2")


def test_contracts_add_up_by_account_line_first_day_booking_and_term(con):
    given = """
        account_id  line  order_day   booked_on   term_months  amount
        A           all   2026-03-01  2026-03-01  12           1200
        A           all   2026-03-01  2026-03-01  12           600
        A           all   2026-03-01  2026-05-01  12           -600
        A           all   2026-03-01  2026-03-01  2            80
        A           all   2026-03-02  2026-03-02  12           40
        A           law   2026-03-01  2026-03-01  12           20
        B           all   2026-03-01  2026-03-01  12           10
    """
    put(con, "order_lines", lines(given))
    expected = """
        account_id  line  starts_on   booked_on   term_days  amount  order_lines
        A           all   2026-03-01  2026-03-01  365        1800    2
        A           all   2026-03-01  2026-05-01  365        -600    1
        A           all   2026-03-01  2026-03-01  61         80      1
        A           all   2026-03-02  2026-03-02  365        40      1
        A           law   2026-03-01  2026-03-01  365        20      1
        B           all   2026-03-01  2026-03-01  365        10      1
    """
    assert result(con, "ledger/contract_terms") == terms(expected)
