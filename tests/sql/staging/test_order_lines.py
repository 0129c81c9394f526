"""order_lines.sql: an order line with the day it counts on and the day it was booked."""

from datetime import date
from decimal import Decimal

import pytest

from flows.duck import materialise
from tests.drawn import Row, drawn, ordered, put, result

MARCH_1 = date(2026, 3, 1)
UNKNOWN = [
    "is_custom",
    "is_recurring",
    "is_service",
    "term_months",
    "handler",
    "product_id",
    "quantity",
    "list_amount",
    "list_premium",
    "is_self_service",
]


def orders(text: str) -> list[Row]:
    """Orders as they stand: what is not drawn is as ordinary as can be."""
    rows = drawn(text, source="shop", order_id="o1", account_id="A", line="all", amount=100, is_cancelled=False)
    return [row | {"is_silent_return": is_silent(row)} for row in rows]


def is_silent(row: Row) -> bool:
    """Whether it is a return that says nothing of its kind."""
    said = [row.get(name) for name in ("is_custom", "is_recurring", "is_service", "term_months")]
    return row["amount"] < 0 and not row["is_cancelled"] and said == [None] * 4


def lines(text: str) -> list[Row]:
    """The lines expected."""
    return ordered(drawn(text, account_id="A", line="all", amount=100, **dict.fromkeys(UNKNOWN)))


def order_lines(con) -> list[Row]:
    """All rows of the statement, and of the one that it reads."""
    materialise(con, "staging/silent_returns")
    return result(con, "staging/order_lines")


def test_a_sale_counts_on_the_day_it_was_booked_with_all_that_is_known_of_it(con):
    given = """
        ordered_on  amount   is_custom  is_recurring  is_service  term_months  handler  product_id  quantity
        2026-03-01  99.1234  yes        no            -           12           h1       p1          2
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount   is_custom  is_recurring  is_service  term_months  handler  product_id  quantity
        2026-03-01  2026-03-01  99.1234  yes        no            -           12           h1       p1          2
    """
    assert order_lines(con) == lines(expected)


def test_a_return_that_names_its_order_counts_on_the_day_of_that_order(con):
    given = """
        order_id  ordered_on  amount
        o1        2026-03-01  100
        o1        2026-04-10  -40
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount
        2026-03-01  2026-03-01  100
        2026-03-01  2026-04-10  -40
    """
    assert order_lines(con) == lines(expected)


def test_a_return_is_of_the_kind_that_was_sold_whatever_is_said_of_it(con):
    given = """
        order_id  ordered_on  amount  is_custom  is_recurring  is_service  term_months
        o1        2026-03-01  100     yes        yes           no          12
        o1        2026-03-01  60      yes        yes           no          12
        o1        2026-04-10  -100    -          no            -           -
        o2        2026-03-02  100     yes        -             no          -
        o2        2026-03-02  60      no         -             -           3
        o2        2026-04-11  -40     yes        no            yes         6
        o3        2026-04-12  -40     yes        no            yes         6
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount  is_custom  is_recurring  is_service  term_months
        2026-03-01  2026-03-01  100     yes        yes           no          12
        2026-03-01  2026-03-01  60      yes        yes           no          12
        2026-03-01  2026-04-10  -100    yes        yes           no          12
        2026-03-02  2026-03-02  100     yes        -             no          -
        2026-03-02  2026-03-02  60      no         -             -           3
        2026-03-02  2026-04-11  -40     yes        no            yes         6
        2026-04-12  2026-04-12  -40     yes        no            yes         6
    """
    assert order_lines(con) == lines(expected)


MIXED = """
    ordered_on  amount  is_recurring  is_service  term_months
    2026-03-01  2400    yes           no          12
    2026-03-01  600     no            yes         -
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            "2026-04-10 -3000 - - -",
            "2026-04-10 -2400 yes no 12\n2026-04-10 -600 no yes -",
            id="in full",
        ),
        pytest.param(
            "2026-04-10 -1000.0001 - - -",
            "2026-04-10 -800.0001 yes no 12\n2026-04-10 -200 no yes -",
            id="in part, and the rest to the kind that comes last",
        ),
        pytest.param(
            "2026-04-10 -600 no yes -\n2026-04-12 -2400 - - -",
            "2026-04-10 -600 no yes -\n2026-04-12 -2400 yes no 12",
            id="what is left of the kinds",
        ),
        pytest.param(
            "2026-04-10 -700.0001 - - -\n2026-04-10 -300 - - -\n2026-04-12 -1999.9999 - - -",
            "2026-04-10 -800.0001 yes no 12\n2026-04-10 -200 no yes -\n"
            "2026-04-12 -1599.9999 yes no 12\n2026-04-12 -400 no yes -",
            id="in parts that make up the whole",
        ),
        pytest.param(
            "2026-04-10 -2400 yes no 12\n2026-04-10 -600 no yes -\n2026-04-12 -50 - - -",
            "2026-04-10 -2400 yes no 12\n2026-04-10 -600 no yes -\n2026-04-12 -50 - - -",
            id="more than all",
        ),
    ],
)
def test_a_return_of_lines_of_several_kinds_that_says_nothing_is_divided_among_them(con, given, expected):
    put(con, "orders", orders(f"{MIXED.rstrip()}\n{given}"))
    header, *sold = MIXED.strip().splitlines()
    rows = [*sold, *expected.splitlines()]
    text = "\n".join([header.replace("ordered_on", "booked_on"), *rows])
    assert order_lines(con) == ordered(row | {"order_day": MARCH_1} for row in lines(text))


def test_a_return_of_an_order_of_several_days_counts_on_the_first(con):
    given = """
        ordered_on  amount
        2026-03-05  100
        2026-03-01  100
        2026-03-09  -40
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount
        2026-03-01  2026-03-01  100
        2026-03-01  2026-03-09  -40
        2026-03-05  2026-03-05  100
    """
    assert order_lines(con) == lines(expected)


@pytest.mark.parametrize("other", ["order_id o2", "account_id B", "line law", "source till"])
def test_a_return_without_a_sale_of_its_own_counts_on_its_own_day(con, other):
    column, value = other.split()
    sale, back = orders("ordered_on amount\n2026-03-01 100\n2026-04-10 -40")
    put(con, "orders", [sale | {column: value}, back])
    kept = {column: value} if column in ("account_id", "line") else {}
    expected = lines("order_day booked_on amount\n2026-03-01 2026-03-01 100\n2026-04-10 2026-04-10 -40")
    assert order_lines(con) == ordered(row | kept if row["amount"] > 0 else row for row in expected)


def test_a_return_of_the_day_of_its_order_or_before_it_counts_on_its_own_day(con):
    given = """
        order_id  ordered_on  amount
        o1        2026-03-01  100
        o1        2026-03-01  -40
        o2        2026-03-01  100
        o2        2026-02-28  -40
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount
        2026-02-28  2026-02-28  -40
        2026-03-01  2026-03-01  -40
        2026-03-01  2026-03-01  100
        2026-03-01  2026-03-01  100
    """
    assert order_lines(con) == lines(expected)


def test_a_return_of_a_cancelled_order_counts_on_its_own_day(con):
    given = """
        ordered_on  amount  is_cancelled
        2026-03-01  100     yes
        2026-04-10  -40     no
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount
        2026-03-01  2026-03-01  0
        2026-04-10  2026-04-10  -40
    """
    assert order_lines(con) == lines(expected)


def test_a_cancelled_line_is_worth_nothing_be_it_a_sale_or_a_return(con):
    given = """
        order_id  ordered_on  amount  is_cancelled
        o1        2026-03-01  100     yes
        o2        2026-03-02  100     no
        o2        2026-03-09  -100    yes
    """
    put(con, "orders", orders(given))
    expected = """
        order_day   booked_on   amount
        2026-03-01  2026-03-01  0
        2026-03-02  2026-03-02  100
        2026-03-09  2026-03-09  0
    """
    assert order_lines(con) == lines(expected)


def test_a_sale_is_self_service_without_a_handler_or_by_a_channel_of_that_kind(con):
    given = """
        order_id  handler  channel       amount  is_cancelled
        o1        -        phone         100     no
        o2        h1       phone         100     no
        o3        h1       web           100     no
        o4        h1       self_service  100     no
        o5        -        -             100     no
        o6        h1       -             100     no
        o7        -        web           -100    no
        o8        -        web           0       no
        o9        -        web           100     yes
    """
    put(con, "orders", [row | {"account_id": row["order_id"], "ordered_on": "2026-03-01"} for row in orders(given)])
    found = {row["account_id"]: row["is_self_service"] for row in order_lines(con)}
    unknown = dict.fromkeys(["o5", "o6", "o7", "o8", "o9"])
    assert found == {"o1": True, "o2": False, "o3": True, "o4": True} | unknown


def test_what_was_paid_is_held_against_the_list_price_at_most_e_times_as_much_or_as_little(con):
    given = """
        order_id  amount  list_amount  is_cancelled
        o1        110     100          no
        o2        100     100          no
        o3        50      100          no
        o4        1000    100          no
        o5        1       100          no
        o6        100     -            no
        o7        100     0            no
        o8        0       100          no
        o9        -100    100          no
        o10       110     100          yes
    """
    put(con, "orders", [row | {"account_id": row["order_id"], "ordered_on": "2026-03-01"} for row in orders(given)])
    found = {row["account_id"]: row["list_premium"] for row in order_lines(con)}
    unknown = dict.fromkeys(["o6", "o7", "o8", "o9", "o10"])
    known = {"o1": "0.0953101798", "o2": "0", "o3": "-0.6931471806", "o4": "1", "o5": "-1"}
    assert found == {order: Decimal(premium) for order, premium in known.items()} | unknown
