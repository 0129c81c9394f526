"""On which days, and at what time of the day, things happen."""

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.example import firm
from flows.example.chance import draw, uniform

RowsAndDays = tuple[NDArray[np.int64], NDArray[np.int64]]

FIRST_OF_MONTH = np.array(
    [
        (dt.date(year, month, 1) - firm.FIRST_DAY).days
        for year in range(firm.FIRST_DAY.year, firm.LAST_DAY.year + 1)
        for month in range(1, 13)
    ]
)
DAYS_TO_PAY = 4  # bills by the calendar go out on the first days of a month


def chance_days(what: str, a_year: float, members: pl.DataFrame, tempo: str) -> RowsAndDays:
    """At most one a week, each week of the relationship as likely, times the account's own tempo."""
    week = np.arange(firm.WEEKS)
    first, end, times = (members[column].to_numpy()[:, None] for column in ("first", "end", tempo))
    happens = uniform(f"{what} by chance", members.height, firm.WEEKS) < a_year / 52 * times
    row, in_week = np.nonzero(happens & (week >= first) & (week < end))
    return row, in_week * 7 + weekdays(f"{what} by chance", members[row])


def calendar_days(what: str, every_months: int, members: pl.DataFrame) -> RowsAndDays:
    """On the account's own day early in the month, from its first month on."""
    own_day = (uniform(f"{what} own day", members.height) * DAYS_TO_PAY).astype(int)
    due = FIRST_OF_MONTH + own_day[:, None]
    first, end = (members[column].to_numpy()[:, None] * 7 for column in ("first", "end"))
    runs = (due >= first) & (due < end)
    row, month = np.nonzero(runs & ((np.cumsum(runs, axis=1) - 1) % every_months == 0))
    return row, due[row, month]


def weekdays(what: str, rows: pl.DataFrame) -> NDArray[np.int64]:
    """A day of the week for each row, Sunday 0: the lawyers keep to Monday to Friday, the shop does not."""
    drawn = uniform(f"{what} weekday", rows.height)
    at_work = 1 + (drawn * 5).astype(int)
    any_day = (drawn * 7).astype(int)
    return np.where(rows["line"].to_numpy() == "legal", at_work, any_day)


def at_some_time(rows: pl.DataFrame, what: str) -> pl.DataFrame:
    """Adds `at`: 8 to 18 o'clock for the lawyers, 6 to 23 in the shop; no hour that clocks skip or repeat."""
    drawn = draw(rows, f"{what} time of day")
    legal = pl.col("line") == "legal"
    hours = pl.when(legal).then(8 + drawn * 10).otherwise(6 + drawn * 17)
    since_first = pl.duration(days="day", seconds=(hours * 3600).floor().cast(pl.Int64))
    return rows.with_columns(at=pl.lit(firm.FIRST_DAY).cast(pl.Datetime("us")) + since_first)
