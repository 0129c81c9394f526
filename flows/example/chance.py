"""The draws: numbers in [0, 1) that depend on nothing but what they are for, never on the order of drawing.

Only sums, products and comparisons follow upon them, no logarithms, whose last bit differs between machines.
"""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

SEED = 1868


def uniform(what: str, *shape: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) from the raw stream of PCG64, which numpy promises to keep the same for good."""
    raw = np.random.PCG64([SEED, *what.encode()]).random_raw(math.prod(shape))
    bits = np.asarray(raw, dtype=np.uint64).reshape(shape) >> np.uint64(11)
    return bits.astype(np.float64) * np.float64(2.0**-53)


def draw(frame: pl.DataFrame, what: str) -> pl.Series:
    """One number in [0, 1) for each row."""
    return pl.Series(uniform(what, frame.height), dtype=pl.Float64)


def pick(frame: pl.DataFrame, rows: int, what: str) -> pl.DataFrame:
    """Exactly so many rows, each as likely, in the order that they had."""
    chosen = np.argsort(uniform(what, frame.height), kind="stable")[:rows]
    return frame[np.sort(chosen)]


def within(bounds: pl.Expr, drawn: pl.Series) -> pl.Expr:
    """A whole number from a range like '2:5', each as likely; NULL where there is no range."""
    ends = bounds.str.split_exact(":", 1)
    low = ends.struct.field("field_0").cast(pl.Int64)
    high = ends.struct.field("field_1").cast(pl.Int64)
    return low + (drawn * (high - low + 1)).floor().cast(pl.Int64)


def one_of(names: list[str], drawn: pl.Series) -> pl.Expr:
    """One of the names for each row, each as likely."""
    return pl.lit(pl.Series(names)).gather((drawn * len(names)).floor().cast(pl.Int64))
