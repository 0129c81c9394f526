"""What the accounts order: one row an order line, sound, in the firm's own time."""

from typing import Any

import numpy as np
import polars as pl

from flows.example import firm
from flows.example.accounts import handler
from flows.example.chance import draw, one_of, within
from flows.example.when import RowsAndDays, at_some_time, calendar_days, chance_days, weekdays


def order_lines(relationships: pl.DataFrame) -> pl.DataFrame:
    """Every order line, oldest first: `list_price` (of one unit) and `amount` in dollars."""
    orders = occasions(relationships).join(relationships, on="relationship", maintain_order="left")
    orders = at_some_time(orders, "orders").sort("at", "relationship", maintain_order=True)
    number = pl.int_range(pl.len()).cast(pl.String).str.zfill(6)
    orders = orders.with_columns(
        *handler_and_channel(orders), order_id=pl.format("{}{}", pl.col("line").str.slice(0, 1), number)
    )
    return priced(with_extras(orders)).sort("at", "order_id", "line_number")


def occasions(relationships: pl.DataFrame) -> pl.DataFrame:
    """When each archetype's members order what: `relationship`, `day`, `category`, `premium`."""
    found = []
    for stream in firm.ORDERS.iter_rows(named=True):
        members = relationships.filter(archetype=stream["archetype"])
        row, day = stream_days(stream, members)
        category, premium = pl.lit(stream["category"]), pl.lit(stream["premium"])
        found.append(members[row].select("relationship", day=pl.Series(day), category=category, premium=premium))
    return pl.concat(found).filter(pl.col("day") < firm.DAYS)


def stream_days(stream: dict[str, Any], members: pl.DataFrame) -> RowsAndDays:
    """The orders of one stream as (row in members, day since the first day)."""
    what = f"{stream['archetype']} {stream['category']}"
    if stream["a_year"] is not None:
        return chance_days(what, stream["a_year"], members, "order_tempo")
    if stream["every_months"] is not None:
        return calendar_days(what, stream["every_months"], members)
    return np.arange(members.height), members["first"].to_numpy() * 7 + weekdays(what, members)


def handler_and_channel(orders: pl.DataFrame) -> list[pl.Expr]:
    """Who served the order, and how it came in; nobody serves an order by web or portal."""
    alone = draw(orders, "order alone") < pl.col("alone")
    by_own = draw(orders, "order by own handler") < pl.col("own")
    served_by = pl.when(by_own).then("own_handler").otherwise(handler(draw(orders, "order by anyone")))
    legal = pl.col("line") == "legal"
    how = draw(orders, "order channel")
    office, shop = one_of(["office", "phone", "email"], how), one_of(["counter", "phone"], how)
    served = pl.when(legal).then(office).otherwise(shop)
    unserved = pl.when(legal).then(pl.lit("portal")).otherwise(pl.lit("web"))
    return [
        pl.when(~alone).then(served_by).alias("handler"),
        pl.when(~alone).then(served).otherwise(unserved).alias("channel"),
    ]


def with_extras(orders: pl.DataFrame) -> pl.DataFrame:
    """Adds to some orders a second line: a court's fee, a binder."""
    extras = firm.EXTRAS.rename({"category": "extra"})
    second = (
        orders.join(extras, on="line", maintain_order="left")
        .filter(draw(orders, "extra line") < pl.col("share"))
        .with_columns(category="extra", premium=pl.lit(0.0))
        .select(orders.columns)
    )
    return pl.concat([orders.with_columns(line_number=pl.lit(1)), second.with_columns(line_number=pl.lit(2))])


def priced(lines: pl.DataFrame) -> pl.DataFrame:
    """Chooses a product of the line's category, the units, and the price within the band of haggling."""
    products = firm.PRODUCTS.drop("line").with_columns(choice=pl.int_range(pl.len()).over("category"))
    choices = products.group_by("category").agg(choices=pl.len())
    lines = lines.join(choices, on="category", maintain_order="left")
    choice = (draw(lines, "product") * pl.col("choices")).floor().cast(pl.Int64)
    lines = lines.with_columns(choice=choice).join(products, on=["category", "choice"], maintain_order="left")
    years = pl.col("at").dt.year() - firm.FIRST_DAY.year
    list_price = (pl.col("price") * (1 + firm.PRICE_RISE_A_YEAR * years)).round(2)
    lines = lines.with_columns(list_price=list_price, quantity=within(pl.col("units"), draw(lines, "units")))
    factor = 1 + pl.col("premium") + pl.col("haggle") * (draw(lines, "haggle") - 0.5)
    days_to_book = 1 + pl.lit(draw(lines, "days to book") * 9).floor().cast(pl.Int64)
    return lines.with_columns(
        amount=(pl.col("list_price") * pl.col("quantity") * factor).round(2),
        updated_at=pl.col("at") + pl.duration(days=days_to_book),
        status=pl.lit("booked"),
    )
