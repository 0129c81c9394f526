"""A row says the same alone as among others: Polars divides one row by a constant, but multiplies several by its inverse."""

from datetime import date, timedelta

import polars as pl
import pytest

from config.catalogue import BY_NAME, FEATURES
from transforms.purchases import histories
from transforms.words import in_words

AS_OF = date(2026, 3, 31)
DAYS = range(400)


def test_a_purchase_history():
    rows = pl.DataFrame(
        {
            "line": "law",
            "occasions": 2,
            "first_order_on": [AS_OF - timedelta(days=2 * days) for days in DAYS],
            "last_order_on": [AS_OF - timedelta(days=days) for days in DAYS],
            "repeat_revenue": [days * 1.1 for days in DAYS],
        }
    )
    alone = pl.concat([histories(rows[place], AS_OF) for place in DAYS])
    assert histories(rows, AS_OF).equals(alone)


@pytest.mark.parametrize("name", [feature.name for feature in FEATURES if feature.words])
def test_a_reason(name):
    values = pl.Series([place / 100 for place in DAYS])
    alone = [in_words(BY_NAME[name], values[place : place + 1], "USD")[0] for place in DAYS]
    assert in_words(BY_NAME[name], values, "USD").to_list() == alone
    assert not any("00000" in text for text in alone)
