"""Calibrating a ruler on accounts that people have labelled: base and weights, and how good the score is before and after.

The score is taken as the probability that an account is a client. The ruler's own weights are where the fit starts from and what
it is drawn to (ridge), so that few labels change little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import rankdata

from config.scoring import Ruler
from transforms.score import readings

LEAST_LABELS = 30
"""For the base and one factor for all weights."""
LEAST_LABELS_FOR_WEIGHTS = 100
LEAST_OF_EACH = 10
"""Clients, and customers, without which nothing can be told of the base."""
LATER_SHARE = 0.2
FOLDS = 5
RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
LEAST_WEIGHT = 0.01
BINS = 5
DECIMALS = 3

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """The accounts whose score lies in a fifth of its range.

    Attributes:
        least: score from which on, 0 to 100.
        labels: how many accounts.
        mean_score: of these, 0 to 100.
        client_share: of these, 0 to 1.
    """

    least: float
    labels: int
    mean_score: float
    client_share: float


@dataclass(frozen=True)
class Quality:
    """How good scores are as probabilities.

    Attributes:
        brier: mean squared distance of probability and truth, 0 (best) to 1 (Brier 1950).
        log_loss: mean of -ln of the probability given to what is true, 0 is best.
        auc: probability that a client has the higher score than a customer, 0 to 1; 0.5 tells nothing.
        reliability: scores beside what they came to, by fifths of the score that have accounts.
    """

    brier: float
    log_loss: float
    auc: float
    reliability: tuple[Bin, ...]


@dataclass(frozen=True)
class Calibration:
    """A calibrated ruler, and what it is worth.

    Attributes:
        ruler: fitted on all labels, with a version of its own and the origin "calibrated".
        labels: account lines labelled client or customer.
        clients: these of them.
        ridge: how strongly weights are drawn to those of the ruler before.
        measured_on: the labels that the qualities are of.
        later_than: they are those after this day, by a fit on those up to it; None where all labels are of a day, and each
            fifth is measured by a fit on the others.
        before: the quality of the ruler as it was.
        after: that of the fit.
    """

    ruler: Ruler
    labels: int
    clients: int
    ridge: float
    measured_on: int
    later_than: date | None
    before: Quality
    after: Quality


@dataclass(frozen=True)
class _Labelled:
    """Readings (labels x features) and whether each is a client (1.0 or 0.0)."""

    readings: Array
    truth: Array

    def where(self, kept: NDArray[np.bool_]) -> "_Labelled":
        return _Labelled(self.readings[kept], self.truth[kept])

    def has_both(self) -> bool:
        return 0 < self.truth.sum() < len(self.truth)


@dataclass(frozen=True)
class _Line:
    """`log-odds = base + readings @ weights`."""

    base: float
    weights: Array

    def log_odds(self, readings: Array) -> Array:
        return self.base + readings @ self.weights


def calibrated_ruler(labelled: pl.DataFrame, ruler: Ruler, as_of: date) -> Calibration:
    """The ruler with base and weights fitted to labels by penalised maximum likelihood.

    From 30 labels on the base and one factor for all weights (a temperature) are fitted, from 100 on each weight. The penalty is
    ridge / 2 times the sum of the squared differences to the weights of the ruler before; ridge is that of six which does best
    on fifths left out. A weight keeps its sign: what speaks for a client does not come to speak against one.

    Args:
        labelled: one row a label: the features of the account line as of the day of the label, `labelled_on`, and `is_client`. At least
            30 rows, 10 of them clients and 10 not.
        ruler: the ruler to start from.
        as_of: the last day of a label, for the version.

    Returns:
        The ruler and its quality on labels that the fit has not seen. The order of rows changes nothing.
    """
    labelled = labelled.select("labelled_on", "is_client", *readings(ruler))
    labelled = labelled.sort(labelled.columns)
    rows = _Labelled(
        labelled.select(list(ruler.features)).to_numpy().astype(np.float64),
        labelled["is_client"].cast(pl.Float64).to_numpy(),
    )
    before = _Line(ruler.base, np.array([gauge.weight for gauge in ruler.features.values()]))
    ridge = _best_ridge(rows, before)
    later_than = _later_than(labelled["labelled_on"], rows)
    if later_than is None:
        seen = np.ones(len(rows.truth), bool)
        log_odds = _left_out(rows, before, ridge)
    else:
        seen = (labelled["labelled_on"] > later_than).to_numpy()
        earlier = rows.where(~seen)
        log_odds = _fit(earlier, before, _best_ridge(earlier, before)).log_odds(rows.readings[seen])
    return Calibration(
        ruler=_with(ruler, _fit(rows, before, ridge), as_of),
        labels=len(rows.truth),
        clients=int(rows.truth.sum()),
        ridge=ridge,
        measured_on=int(seen.sum()),
        later_than=later_than,
        before=quality(before.log_odds(rows.readings[seen]), rows.truth[seen]),
        after=quality(log_odds, rows.truth[seen]),
    )


def quality(log_odds: Array, truth: Array) -> Quality:
    """How good log-odds are.

    Args:
        log_odds: of each account line.
        truth: 1.0 for a client, else 0.0; some of each.
    """
    probability = expit(log_odds)
    clients, customers = truth.sum(), len(truth) - truth.sum()
    ranks = rankdata(log_odds)[truth == 1].sum()
    return Quality(
        brier=float(np.mean((probability - truth) ** 2)),
        log_loss=_loss(log_odds, truth),
        auc=float((ranks - clients * (clients + 1) / 2) / (clients * customers)),  # Mann and Whitney 1947
        reliability=tuple(_bins(probability, truth)),
    )


def _bins(probability: Array, truth: Array) -> Sequence[Bin]:
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        Bin(
            100 * number / BINS,
            int(inside.sum()),
            float(100 * probability[inside].mean()),
            float(truth[inside].mean()),
        )
        for number in range(BINS)
        if (inside := place == number).any()
    ]


def _loss(log_odds: Array, truth: Array) -> float:
    return float(-np.mean(np.where(truth == 1, log_expit(log_odds), log_expit(-log_odds))))


def _later_than(days: pl.Series, rows: _Labelled) -> date | None:
    """The day after which the latest fifth of the labels is, or a little more; None where either side would lack a kind."""
    for day in sorted(days.unique(), reverse=True)[1:]:
        later = (days > day).to_numpy()
        if later.mean() >= LATER_SHARE and rows.where(later).has_both():
            earlier = rows.where(~later)
            return day if earlier.has_both() and len(earlier.truth) >= LEAST_LABELS else None
    return None


def _best_ridge(rows: _Labelled, before: _Line) -> float:
    """The ridge with the least loss on fifths left out; of equals the stronger."""
    return min(reversed(RIDGES), key=lambda ridge: round(_loss(_left_out(rows, before, ridge), rows.truth), 6))


def _left_out(rows: _Labelled, before: _Line, ridge: float) -> Array:
    """The log-odds of each row by a fit on the four fifths that it does not belong to, clients and customers spread evenly."""
    fold = np.empty(len(rows.truth), int)
    for kind in (0.0, 1.0):
        (places,) = np.nonzero(rows.truth == kind)
        fold[places[np.argsort(before.log_odds(rows.readings[places]), kind="stable")]] = np.arange(len(places)) % FOLDS
    log_odds = np.empty(len(rows.truth))
    for number in range(FOLDS):
        out = fold == number
        log_odds[out] = _fit(rows.where(~out), before, ridge).log_odds(rows.readings[out])
    return log_odds


def _fit(rows: _Labelled, before: _Line, ridge: float) -> _Line:
    """The base and weights of the greatest penalised likelihood."""
    if len(rows.truth) < LEAST_LABELS_FOR_WEIGHTS:
        along = _Labelled(rows.readings @ before.weights[:, None], rows.truth)
        # a step along the weights is as far as it moves them
        stretched = _climb(along, _Line(before.base, np.ones(1)), ridge * float(before.weights @ before.weights))
        return _Line(stretched.base, stretched.weights[0] * before.weights)
    return _climb(rows, before, ridge)


def _climb(rows: _Labelled, before: _Line, ridge: float) -> _Line:
    signs = np.sign(before.weights)

    def loss(values: Array) -> tuple[float, Array]:
        base, weights = values[0], values[1:]
        log_odds = base + rows.readings @ weights
        away = weights - before.weights
        missed = expit(log_odds) - rows.truth
        total = _loss(log_odds, rows.truth) * len(rows.truth) + ridge / 2 * float(away @ away)
        return total, np.concatenate([[missed.sum()], rows.readings.T @ missed + ridge * away])

    found = minimize(
        loss,
        np.concatenate([[before.base], before.weights]),
        jac=True,
        method="L-BFGS-B",
        bounds=[
            (None, None),
            *((LEAST_WEIGHT, None) if sign > 0 else (None, -LEAST_WEIGHT) for sign in signs),
        ],
        options={"ftol": 1e-12, "gtol": 1e-8, "maxiter": 1000},
    )
    return _Line(float(found.x[0]), found.x[1:])


def _with(ruler: Ruler, line: _Line, as_of: date) -> Ruler:
    gauges = {
        name: gauge.model_copy(update={"weight": round(float(weight), DECIMALS)})
        for (name, gauge), weight in zip(ruler.features.items(), line.weights, strict=True)
    }
    version = f"{ruler.version}-calibrated-{as_of}"
    return ruler.model_copy(
        update={"version": version, "origin": "calibrated", "base": round(line.base, DECIMALS), "features": gauges}
    )
