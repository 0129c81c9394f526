"""What goes wrong between the firm and its files, in exactly the numbers that `firm.DIRT` declares.

Everything is added to sound rows or does them no harm, so a pipeline that cleans well ends up with the firm
as it was simulated. A row keeps its typed values: `fault` says how it is spoilt when it is written, and
`file_year` in which file.
"""

import datetime as dt

import polars as pl

from flows.example import firm
from flows.example.chance import draw, pick

REFUSED = ("no_account", "no_order", "broken_date", "broken_amount")
TEXT_IDS_FROM = {"shop": firm.FIRST_DAY.year + 1}  # before, the till wrote numbers: no blanks around those
DAYS_TO_GIVE_BACK = 30


def dirty_orders(sound: pl.DataFrame, source: str) -> pl.DataFrame:
    """The sound order lines of a source and all that goes wrong with them; `order_id` is their key."""
    cancelled = cancellations(sound, source)
    corrected = pick(sound, firm.dirt(source, "corrected"), f"{source} corrected")
    earlier = [
        corrected.with_columns(amount=(pl.col("amount") * 0.8).round(2), updated_at="at"),
        cancelled.with_columns(status=pl.lit("booked"), updated_at="at"),
    ]
    given_back = [returns(sound, source), credit_notes(sound, source)]
    return spoilt(pl.concat([sound, cancelled, *earlier, *given_back]), sound, source, "order_id")


def dirty_events(sound: pl.DataFrame, source: str) -> pl.DataFrame:
    """The sound events of a source and all that goes wrong with them; `event_id` is their key."""
    corrected = pick(sound, firm.dirt(source, "corrected"), f"{source} corrected")
    nobody_yet = pl.lit(None, pl.String)
    earlier = corrected.with_columns(updated_at="at", handler=nobody_yet, minutes=pl.col("minutes") + 15)
    return spoilt(pl.concat([sound, earlier]), sound, source, "event_id")


def cancellations(sound: pl.DataFrame, source: str) -> pl.DataFrame:
    """Orders placed beside a sound one by mistake, as they stand once they are cancelled."""
    mistaken = pick(sound.filter(line_number=1), firm.dirt(source, "cancelled"), f"{source} cancelled")
    return mistaken.with_columns(
        order_id=pl.col("order_id") + "-X",
        status=pl.lit("cancelled"),
        updated_at=pl.col("at") + pl.duration(days=2),
    )


def returns(sound: pl.DataFrame, source: str) -> pl.DataFrame:
    """Second lines given back whole, booked under their order's number."""
    return given_back(sound.filter(line_number=2), source, "returned").with_columns(
        line_number=pl.lit(3), amount=-pl.col("amount"), quantity=-pl.col("quantity")
    )


def credit_notes(sound: pl.DataFrame, source: str) -> pl.DataFrame:
    """A fifth of an order's first line given back, booked under a number of its own."""
    return given_back(sound.filter(line_number=1), source, "credited").with_columns(
        order_id=pl.format("CR-{}", pl.int_range(1, pl.len() + 1)),
        amount=-(pl.col("amount") * 0.2).round(2),
        quantity=pl.lit(None, pl.Int64),
    )


def given_back(sold: pl.DataFrame, source: str, kind: str) -> pl.DataFrame:
    """As many lines as are declared, dated within a month after they were sold."""
    in_time = pl.col("at").dt.date() < firm.LAST_DAY - dt.timedelta(days=DAYS_TO_GIVE_BACK)
    rows = pick(sold.filter(in_time), firm.dirt(source, kind), f"{source} {kind}")
    days = 1 + pl.lit(draw(rows, f"{source} days to {kind}") * DAYS_TO_GIVE_BACK).floor().cast(pl.Int64)
    return rows.with_columns(at=pl.col("at") + pl.duration(days=days)).with_columns(updated_at="at")


def spoilt(rows: pl.DataFrame, sound: pl.DataFrame, source: str, key: str) -> pl.DataFrame:
    """Adds rows to refuse and exact copies, moves some to a later file, puts blanks around some ids."""
    refused = [
        pick(sound, firm.dirt(source, fault), f"{source} {fault}").with_columns(
            pl.format("{}-E{}", key, pl.lit(number)).alias(key), fault=pl.lit(fault)
        )
        for number, fault in enumerate(REFUSED)
    ]
    rows = pl.concat([rows, *refused], how="diagonal").with_row_index("row")
    rows = rows.with_columns(file_year=pl.col("at").dt.year())

    early = rows.filter(pl.col("fault").is_null(), pl.col("file_year") < firm.LAST_DAY.year)
    is_late = chosen(early, source, "late")
    rows = rows.with_columns(file_year=pl.when(is_late).then(pl.col("file_year") + 1).otherwise("file_year"))

    in_text = rows.filter(pl.col("fault").is_null(), pl.col("file_year") >= TEXT_IDS_FROM.get(source, 0))
    is_padded = chosen(in_text, source, "padded")
    rows = rows.with_columns(fault=pl.when(is_padded).then(pl.lit("padded")).otherwise("fault"))

    accepted = rows.filter(~pl.col("fault").is_in(REFUSED).fill_null(False))
    copies = pick(accepted, firm.dirt(source, "duplicated"), f"{source} duplicated")
    return pl.concat([rows, copies]).drop("row")


def chosen(rows: pl.DataFrame, source: str, kind: str) -> pl.Expr:
    """True for as many of these rows as are declared."""
    return pl.col("row").is_in(pick(rows, firm.dirt(source, kind), f"{source} {kind}")["row"].implode())
