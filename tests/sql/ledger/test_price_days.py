"""price_days.sql: what was paid for a product on a day, as far as it can be compared."""

from tests.drawn import Row, drawn, ordered, put, result


def lines(text: str) -> list[Row]:
    return drawn(text, account_id="A", line="all", **drawn("order_day\n2026-03-01")[0])


def test_the_lines_of_a_day_add_up_by_product(con):
    given = """
        product_id  amount  quantity
        p           30      2
        p           12      1.5
        q           5       1
    """
    put(con, "order_lines", lines(given))
    expected = """
        product_id  amount  quantity  priced_lines
        p           42      3.5       2
        q           5       1         1
    """
    assert result(con, "ledger/price_days") == ordered(lines(expected))


def test_a_line_without_a_product_a_price_or_a_quantity_to_six_digits_is_not_compared(con):
    given = """
        product_id  amount  quantity   list_amount
        -           30      2          -
        p           -30     2          -
        p           30      -          -
        p           30      0          -
        p           30      0.0000001  -
        p           30      2          31
    """
    put(con, "order_lines", lines(given))
    assert result(con, "ledger/price_days") == []
