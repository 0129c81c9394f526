"""The reasons of a verdict in words: its largest contributions each way, and the nearest change that would flip it."""

import numpy as np
import polars as pl

from config.catalogue import BY_NAME, Feature
from config.scoring import Gauge, Ruler
from transforms.score import REACH, contribution, log_odds_at
from transforms.words import DAYS_A_MONTH, in_words

SIDES = ("for", "against")
PLACES = (1, 2, 3)
WORTH_TELLING = 0.05  # log-odds, at most about one point of the score
BEYOND = 1e-9  # log-odds past a threshold, so that rounding never leaves a change just short of it


def reasons(scored: pl.DataFrame, ruler: Ruler, currency: str) -> pl.DataFrame:
    """The largest contributions of each row, at most three each way, none of which moves the score by less than a point or so.

    Args:
        scored: one row per account x line, as `scores` gives it.
        ruler: the ruler that scored it.
        currency: the reporting currency, for amounts in words.

    Returns:
        Per row of `scored`, for each side ('for' or 'against' being a client) and place (1 is the largest) the words in
        `for_1` ... `against_3` and the feature in `for_1_feature` ...; NULL where a side has fewer. Ties go to the feature that
        the ruler names first.
    """
    names = list(ruler.features)
    rows = np.arange(scored.height)
    left = scored.select(contribution(name) for name in names).to_numpy(order="c", writable=True)
    chosen = {}
    for side in SIDES:
        for place in PLACES:
            largest = left.argmax(axis=1)
            points = left[rows, largest]
            chosen[f"{side}_{place}"] = np.where(points > WORTH_TELLING, largest, -1).astype(np.int8)
            left[rows, largest] = np.minimum(points, 0)
        np.negative(left, out=left)
    words = _told_features(scored, names, np.concatenate(list(chosen.values())), currency)
    features = pl.Series([*names, None], dtype=pl.String)
    columns = []
    for number, (column, feature) in enumerate(chosen.items()):
        columns.append(words.slice(number * scored.height, scored.height).alias(column))
        columns.append(features.gather(feature % (len(names) + 1)).alias(f"{column}_feature"))
    return pl.DataFrame(columns)


def _told_features(scored: pl.DataFrame, names: list[str], features: np.ndarray, currency: str) -> pl.Series:
    """The words of these features, by their place in `names` (-1 for none), of the rows in order, again and again."""
    parts = ((np.flatnonzero(features == index), BY_NAME[name], scored[name]) for index, name in enumerate(names))
    return _scattered(
        "words",
        features.size,
        [(at, in_words(each, values.gather(at % scored.height), currency)) for at, each, values in parts if at.size],
    )


def _scattered(name: str, height: int, parts: list[tuple[np.ndarray, pl.Series]]) -> pl.Series:
    """A text per row from texts of disjoint rows; NULL in the others."""
    places = np.full(height, -1)
    start = 0
    for rows, _ in parts:
        places[rows] = np.arange(start, start + rows.size)
        start += rows.size
    texts = pl.concat([*(texts for _, texts in parts), pl.Series([None], dtype=pl.String)])
    return texts.gather(np.where(places < 0, start, places)).alias(name)


def flips(scored: pl.DataFrame, ruler: Ruler, currency: str) -> pl.Series:
    """The nearest change of one known feature that would flip each verdict, in words; NULL where no single change would.

    A client flips under `leave`, a customer from `enter` on; one purchase occasion never makes a client, so a second is what
    flips an account that scores enough, and nothing does below. Nearest is the fewest steps of the ruler, within its reach of two
    steps and the range of the feature.
    """
    is_client = scored["segment"].eq("client").to_numpy()
    target = np.where(is_client, log_odds_at(ruler.verdict.leave) - BEYOND, log_odds_at(ruler.verdict.enter) + BEYOND)
    needed = target - scored["log_odds"].to_numpy()
    has_come_back = scored.select(pl.col("order_days").fill_null(0) > 1).to_series().to_numpy()
    fewest = np.full(scored.height, np.inf)
    nearest = np.full(scored.height, -1)
    for index, (name, gauge) in enumerate(ruler.features.items()):
        value = _wanted(scored, name, gauge, needed)
        steps = np.where(has_come_back & ~np.isnan(value), np.abs(needed / gauge.weight), np.inf)
        nearest[steps < fewest] = index
        fewest = np.minimum(fewest, steps)
    lack_an_order = np.flatnonzero(~has_come_back & ~is_client & (needed <= 0))
    second_order = in_words(BY_NAME["order_days"], pl.Series([2.0]), currency).new_from_index(0, lack_an_order.size)
    parts = [(lack_an_order, second_order)]
    for index, (name, gauge) in enumerate(ruler.features.items()):
        rows = np.flatnonzero(nearest == index)
        if rows.size:
            value = _wanted(scored[rows.tolist()], name, gauge, needed[rows])
            reached = _reaching(value, np.sign(needed[rows] / gauge.weight), BY_NAME[name])
            parts.append((rows, in_words(BY_NAME[name], pl.Series(reached), currency)))
    return _scattered("flip", scored.height, parts)


def _wanted(scored: pl.DataFrame, name: str, gauge: Gauge, needed: np.ndarray) -> np.ndarray:
    """The value of one feature that would bring the log-odds needed; NaN where it is unknown, or no value of its would."""
    low, high = _bounds(BY_NAME[name])
    reading = (scored[contribution(name)].to_numpy() + needed) / gauge.weight
    value = gauge.neutral + reading * gauge.scale
    known = scored[name].is_not_null().to_numpy()
    return np.where(known & (np.abs(reading) <= REACH) & (value >= low) & (value <= high), value, np.nan)


def _bounds(feature: Feature) -> tuple[float, float]:
    low = -np.inf if feature.low is None else feature.low
    high = np.inf if feature.high is None else feature.high
    return low, high


def _reaching(values: np.ndarray, further: np.ndarray, feature: Feature) -> np.ndarray:
    """The first value that words can say, in whole percent, months and so on, past the wanted value."""
    if feature.unit == "premium":
        whole = np.log1p(_rounded_on((np.exp(values) - 1) * 100, further) / 100)
    else:
        months_and_years = np.select([values < 90, values < 2 * 365], [1, DAYS_A_MONTH], 36.5)
        step = {"share": 0.01, "number": 0.1, "days": months_and_years}.get(feature.unit, 1)
        whole = _rounded_on(values / step, further) * step
    return np.clip(whole, *_bounds(feature))


def _rounded_on(values: np.ndarray, further: np.ndarray) -> np.ndarray:
    return np.where(further > 0, np.ceil(values), np.floor(values))


def told(reasons: pl.DataFrame, flips: pl.Series, held: pl.DataFrame) -> pl.Series:
    """One text per row: what speaks for client, what against, and what keeps or would flip the verdict.

    Args:
        reasons: as `reasons` gives them.
        flips: as `flips` gives them.
        held: the same rows with `segment`, `contrary_since` and `override_note`.
    """
    said = {
        side: pl.concat_str([pl.col(f"{side}_{place}") for place in PLACES], separator="; ", ignore_nulls=True).replace(
            "", "nothing"
        )
        for side in SIDES
    }
    other = pl.when(pl.col("segment") == "client").then(pl.lit("customer")).otherwise(pl.lit("client"))
    change = (
        pl.when(pl.col("override_note").is_not_null())
        .then(pl.format(" {}.", "override_note"))
        .when(pl.col("segment") == "prospect")
        .then(pl.lit(" No order yet."))
        .when(pl.col("contrary_since").is_not_null())
        .then(pl.format(" The score calls for {} since {}, and is not followed yet.", other, "contrary_since"))
        .when(pl.col("flip").is_null())
        .then(pl.lit(" No single change would flip it."))
        .otherwise(pl.format(" Would be a {} if: {}.", other, pl.col("flip")))
    )
    return (
        reasons.with_columns(flips.alias("flip"), *held["segment", "contrary_since", "override_note"])
        .select(pl.format("For client: {}. Against: {}.{}", said["for"], said["against"], change).alias("reasons"))
        .to_series()
    )


def told_of_the_whole() -> pl.Expr:
    """The `reasons` of an account as a whole: those of its leading line, and the line that keeps it a client besides (`kept_by`)."""
    kept = pl.format("{} By its line {} it would stay a client.", "reasons", "kept_by")
    return pl.coalesce(kept, "reasons").alias("reasons")
