"""Calibrating a ruler on accounts that people have labelled: base and weights, and how good the score is before and after.

The score is taken as the probability that an account is a client. The ruler's own weights are where the fit starts from and what
it is drawn to (ridge), so that few labels change little.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import rankdata

from config.scoring import Ruler
from transforms.score import readings

LEAST_ACCOUNTS = 30
LEAST_OF_EACH = 10
"""Labelled accounts that are clients, and that are customers: with fewer nothing can be told."""
LATER_SHARE = 0.2
LEAST_OF_EACH_LATER = 5
FOLDS = 5
RIDGES = (10.0, 30.0, 100.0, 300.0)
WEAKER_RIDGES = (1.0, 3.0)
LEAST_ACCOUNTS_FOR_WEAKER = 100
"""With fewer the weaker ridges made accounts that were not labelled worse, in samples of the simulated firm."""
LEAST_WEIGHT = 0.01
BINS = 5
DECIMALS = 3
CALIBRATED = "-calibrated-"

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
        accounts: how many accounts they are of.
        ridge: how strongly base and weights are drawn to those of the ruler before.
        measured_on: the labels that the qualities are of.
        later_than: they are those after this day of accounts without an earlier one, by a fit on those up to it; None where
            that leaves too few, and each fifth of the accounts is measured by a fit on the others.
        before: the quality of the ruler as it was.
        after: that of the fit.
        at_bound: features whose labels would turn their weight's sign, which is as small as it may be.
    """

    ruler: Ruler
    labels: int
    clients: int
    accounts: int
    ridge: float
    measured_on: int
    later_than: date | None
    before: Quality
    after: Quality
    at_bound: tuple[str, ...]


@dataclass(frozen=True)
class _Labelled:
    """Readings (labels x features), whether each is a client (1.0 or 0.0), and a number of its account."""

    readings: Array
    truth: Array
    accounts: NDArray[np.int64]

    def where(self, kept: NDArray[np.bool_]) -> "_Labelled":
        return _Labelled(self.readings[kept], self.truth[kept], self.accounts[kept])

    def has_of_each(self, least: int) -> bool:
        return all(len(np.unique(self.accounts[self.truth == kind])) >= least for kind in (0.0, 1.0))


@dataclass(frozen=True)
class _Line:
    """`log-odds = base + readings @ weights`."""

    base: float
    weights: Array

    def log_odds(self, readings: Array) -> Array:
        return self.base + readings @ self.weights


def calibrated_ruler(labelled: pl.DataFrame, ruler: Ruler, as_of: date) -> Calibration:
    """The ruler with base and weights fitted to labels by penalised maximum likelihood.

    The penalty is ridge / 2 times the sum of the squared differences to base and weights of the ruler before; ridge is that which
    does best on fifths of the accounts left out, 10 at least under 100 accounts. A weight keeps its sign: what speaks for a client
    does not come to speak against one.

    Args:
        labelled: one row a label: `account_id`, the features of the account line as of the day of the label, `labelled_on`, and
            `is_client`. Of at least 30 accounts, 10 with a client and 10 with a customer.
        ruler: the ruler to start from.
        as_of: the last day of a label, for the version.

    Returns:
        The ruler and its quality on accounts that the fit has not seen. The order of rows and the names of accounts change nothing.
    """
    labelled = labelled.select("account_id", "labelled_on", "is_client", *readings(ruler))
    labelled = labelled.sort(labelled.columns[1:])
    accounts = labelled["account_id"].unique(maintain_order=True)
    rows = _Labelled(
        labelled.select(list(ruler.features)).to_numpy().astype(np.float64),
        labelled["is_client"].cast(pl.Float64).to_numpy(),
        labelled["account_id"].replace_strict(accounts, range(len(accounts)), return_dtype=pl.Int64).to_numpy(),
    )
    before = _Line(ruler.base, np.array([gauge.weight for gauge in ruler.features.values()]))
    ridges = RIDGES if len(accounts) < LEAST_ACCOUNTS_FOR_WEAKER else (*WEAKER_RIDGES, *RIDGES)
    ridge = _best_ridge(rows, before, ridges)
    fitted = _fit(rows, before, ridge)
    later_than, seen = _later(labelled["labelled_on"], rows)
    if later_than is None:
        log_odds = _left_out(rows, before, ridges)
    else:
        earlier = rows.where((labelled["labelled_on"] <= later_than).to_numpy())
        log_odds = _fit(earlier, before, _best_ridge(earlier, before, ridges)).log_odds(rows.readings[seen])
    return Calibration(
        ruler=_with(ruler, fitted, as_of),
        labels=len(rows.truth),
        clients=int(rows.truth.sum()),
        accounts=len(accounts),
        ridge=ridge,
        measured_on=int(seen.sum()),
        later_than=later_than,
        before=quality(before.log_odds(rows.readings[seen]), rows.truth[seen]),
        after=quality(log_odds, rows.truth[seen]),
        at_bound=tuple(
            name
            for name, weight, least in zip(ruler.features, fitted.weights, _least(before), strict=True)
            if abs(weight) <= least * (1 + 1e-9)
        ),
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


def _later(days: pl.Series, rows: _Labelled) -> tuple[date | None, NDArray[np.bool_]]:
    """The day after which the latest fifth of the labels is, or a little more, and which of them are of accounts not labelled before.

    None and all of them, where that leaves too few on either side.
    """
    for day in sorted(days.unique(), reverse=True)[1:]:
        later = (days > day).to_numpy()
        if later.mean() < LATER_SHARE:
            continue
        unseen = later & ~np.isin(rows.accounts, rows.accounts[~later])
        if rows.where(~later).has_of_each(LEAST_OF_EACH) and rows.where(unseen).has_of_each(LEAST_OF_EACH_LATER):
            return day, unseen
        break
    return None, np.ones(len(rows.truth), bool)


def _left_out(rows: _Labelled, before: _Line, ridges: Sequence[float]) -> Array:
    """The log-odds of each row by a fit, and a ridge chosen, on the four fifths of accounts that its own does not belong to."""
    fold, log_odds = _folds(rows, before), np.empty(len(rows.truth))
    for number in range(FOLDS):
        out = fold == number
        others = rows.where(~out)
        log_odds[out] = _fit(others, before, _best_ridge(others, before, ridges)).log_odds(rows.readings[out])
    return log_odds


def _best_ridge(rows: _Labelled, before: _Line, ridges: Sequence[float]) -> float:
    """The ridge with the least loss on fifths of the accounts left out; of equals the stronger."""
    fold = _folds(rows, before)
    losses = {}
    for ridge in reversed(ridges):
        log_odds = np.empty(len(rows.truth))
        for number in range(FOLDS):
            out = fold == number
            log_odds[out] = _fit(rows.where(~out), before, ridge).log_odds(rows.readings[out])
        losses[ridge] = round(_loss(log_odds, rows.truth), 6)
    return min(losses, key=lambda ridge: losses[ridge])


def _folds(rows: _Labelled, before: _Line) -> NDArray[np.int64]:
    """A fifth for each row, all of an account in one; accounts of like truth and score are spread evenly."""
    accounts, places = np.unique(rows.accounts, return_inverse=True)
    clients, score = np.zeros(len(accounts)), np.zeros(len(accounts))
    np.maximum.at(clients, places, rows.truth)
    np.add.at(score, places, before.log_odds(rows.readings) / np.bincount(places)[places])
    dealt = np.empty(len(accounts), int)
    dealt[np.lexsort((score, clients))] = np.arange(len(accounts)) % FOLDS
    return dealt[places]


def _fit(rows: _Labelled, before: _Line, ridge: float) -> _Line:
    """The base and weights of the greatest penalised likelihood."""
    start = np.concatenate([[before.base], before.weights])

    def loss(values: Array) -> tuple[float, Array]:
        log_odds = values[0] + rows.readings @ values[1:]
        away = values - start
        missed = expit(log_odds) - rows.truth
        total = _loss(log_odds, rows.truth) * len(rows.truth) + ridge / 2 * float(away @ away)
        return total, np.concatenate([[missed.sum()], rows.readings.T @ missed]) + ridge * away

    bounds = [
        (least, None) if weight > 0 else (None, -least)
        for weight, least in zip(before.weights, _least(before), strict=True)
    ]
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None), *bounds],
        options={"ftol": 1e-12, "gtol": 1e-8, "maxiter": 1000},
    )
    return _Line(float(found.x[0]), found.x[1:])


def _least(before: _Line) -> Array:
    """How small each weight may become."""
    return np.minimum(LEAST_WEIGHT, np.abs(before.weights))


def _with(ruler: Ruler, line: _Line, as_of: date) -> Ruler:
    """The ruler with another base and weights, and a version that no other numbers have."""
    weights = [round(float(weight), DECIMALS) or float(np.copysign(10**-DECIMALS, weight)) for weight in line.weights]
    base = round(line.base, DECIMALS)
    gauges = {
        name: gauge.model_copy(update={"weight": weight})
        for (name, gauge), weight in zip(ruler.features.items(), weights, strict=True)
    }
    numbers = sha256(json.dumps([base, *weights]).encode()).hexdigest()[:6]
    version = f"{ruler.version.partition(CALIBRATED)[0]}{CALIBRATED}{as_of}-{numbers}"
    return ruler.model_copy(update={"version": version, "origin": "calibrated", "base": base, "features": gauges})
