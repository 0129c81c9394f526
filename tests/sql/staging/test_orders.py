"""orders.sql: an order line as it stands."""

import pytest

from tests.drawn import Row, drawn, ordered, put, standing_rows

NOON = drawn("ordered_at ordered_on\n2026-03-01T12:00 2026-03-01")[0]
UNKNOWN = [
    "quantity",
    "list_amount",
    "product_id",
    "category",
    "handler",
    "channel",
    "is_custom",
    "is_recurring",
    "is_service",
    "term_months",
]


def checked(text: str) -> list[Row]:
    """Checked rows: what is not drawn is as ordinary as can be."""
    delivered_at = drawn("delivered_at\n2026-04-01T02:00")[0]
    ordinary = {"source": "shop", "line_number": "1", "account_id": "A", "line": "all", "amount": 100}
    rows = drawn(text, batch="b1", **ordinary, **NOON, **delivered_at)
    return [row | {"position": position} for position, row in enumerate(rows)]


def standing(text: str) -> list[Row]:
    """Orders as they stand: what is not drawn is as in `checked`."""
    ordinary = {
        "source": "shop",
        "account_id": "A",
        "line": "all",
        "amount": 100,
        "is_cancelled": False,
        "is_silent_return": False,
    }
    return ordered(drawn(text, **ordinary, **NOON, **dict.fromkeys(UNKNOWN)))


def test_the_version_of_a_line_that_was_written_last_stands(con):
    given = """
        order_id  line_number  amount  updated_at
        o1        1            100     2026-03-01T12:00
        o1        1            120     2026-03-02T12:00
        o1        1            300     2026-03-01T13:00
        o1        2            50      2026-03-01T12:00
        o2        1            70      -
    """
    put(con, "checked_orders", checked(given))
    expected = """
        order_id  amount
        o1        50
        o1        120
        o2        70
    """
    assert standing_rows(con, "orders") == standing(expected)


def test_a_version_with_a_time_comes_after_one_without(con):
    given = """
        order_id  amount  updated_at        delivered_at
        o1        100     2026-03-01T12:00  2026-04-01T02:00
        o1        120     -                 2026-04-02T02:00
    """
    put(con, "checked_orders", checked(given))
    assert standing_rows(con, "orders") == standing("order_id amount\no1 100")


def test_of_versions_written_at_the_same_time_the_one_delivered_later_stands(con):
    given = """
        order_id  amount  updated_at        delivered_at
        o1        100     2026-03-01T12:00  2026-04-02T02:00
        o1        120     2026-03-01T12:00  2026-04-01T02:00
        o2        100     -                 2026-04-02T02:00
        o2        120     -                 2026-04-01T02:00
    """
    put(con, "checked_orders", checked(given))
    assert standing_rows(con, "orders") == standing("order_id amount\no1 100\no2 100")


TIES = [
    ("amount", "100", "120"),
    ("account_id", "A", "B"),
    ("line", "all", "law"),
    ("status", "booked", "paid"),
    ("handler", "h1", "h2"),
    ("channel", "phone", "web"),
    ("product_id", "p1", "p2"),
    ("category", "a", "b"),
    ("quantity", "1", "2"),
    ("list_amount", "1", "2"),
    ("is_custom", "no", "yes"),
    ("is_recurring", "no", "yes"),
    ("is_service", "no", "yes"),
    ("term_months", "1", "12"),
]


@pytest.mark.parametrize(("column", "less", "more"), TIES)
def test_a_tie_goes_to_the_greater_value_whatever_the_order_of_rows(con, column, less, more):
    for first, second in ((less, more), (more, less)):
        put(con, "checked_orders", checked(f"order_id {column}\no1 {first}\no1 {second}"))
        expected = "order_id\no1" if column == "status" else f"order_id {column}\no1 {more}"
        assert standing_rows(con, "orders") == standing(expected)


@pytest.mark.parametrize("column", [column for column, *_ in TIES if column not in ("amount", "account_id", "line")])
def test_a_tie_goes_to_the_value_that_is_given(con, column):
    given = next(more for name, _, more in TIES if name == column)
    put(con, "checked_orders", checked(f"order_id {column}\no1 -\no1 {given}\no1 -"))
    expected = "order_id\no1" if column == "status" else f"order_id {column}\no1 {given}"
    assert standing_rows(con, "orders") == standing(expected)


def test_a_tie_between_times_goes_to_the_later(con):
    given = """
        order_id  ordered_at        ordered_on
        o1        2026-03-02T12:00  2026-03-02
        o1        2026-03-01T12:00  2026-03-01
    """
    put(con, "checked_orders", checked(given))
    expected = """
        order_id  ordered_at        ordered_on
        o1        2026-03-02T12:00  2026-03-02
    """
    assert standing_rows(con, "orders") == standing(expected)


def test_an_exact_duplicate_counts_once(con):
    put(con, "checked_orders", checked("order_id\no1\no1\no1"))
    assert standing_rows(con, "orders") == standing("order_id\no1")


def test_a_refused_row_never_stands_not_even_as_the_latest_version(con):
    given = """
        order_id  amount  updated_at        reason
        o1        100     2026-03-01T12:00  -
        o1        120     2026-03-02T12:00  unfit
        o2        100     2026-03-01T12:00  unfit
    """
    put(con, "checked_orders", checked(given))
    assert standing_rows(con, "orders") == standing("order_id amount\no1 100")


def test_the_same_numbers_in_two_sources_are_two_orders(con):
    put(con, "checked_orders", checked("order_id source\no1 shop\no1 till"))
    assert standing_rows(con, "orders") == standing("order_id source\no1 shop\no1 till")


def test_a_status_takes_a_line_out_in_its_four_spellings_alone(con):
    given = """
        order_id  status
        o1        cancelled
        o2        canceled
        o3        void
        o4        voided
        o5        avoided
        o6        -
    """
    put(con, "checked_orders", checked(given))
    expected = """
        order_id  is_cancelled
        o1        yes
        o2        yes
        o3        yes
        o4        yes
        o5        no
        o6        no
    """
    assert standing_rows(con, "orders") == standing(expected)


def test_a_return_is_silent_that_says_nothing_of_its_kind(con):
    given = """
        order_id  amount  status     is_custom  is_recurring  is_service  term_months
        o1        -1      paid       -          -             -           -
        o2        -1      cancelled  -          -             -           -
        o3        -1      paid       no         -             -           -
        o4        -1      paid       -          yes           -           -
        o5        -1      paid       -          -             no          -
        o6        -1      paid       -          -             -           12
        o7        1       paid       -          -             -           -
    """
    put(con, "checked_orders", checked(given))
    assert [row["order_id"] for row in standing_rows(con, "orders") if row["is_silent_return"]] == ["o1"]
