"""What an account spends on a day with an order: Gamma-Gamma (Fader, Hardie 2013).

In the model's methods `x` is the column `repeat_order_days` and `mean` is `mean_repeat_value`, the mean
spend on those days, the first day with an order left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from scipy.special import digamma, gammaln

from transforms.purchase_models.fits import Fit, maximum_likelihood, outlook_by_line

HAS_REPEATED = (pl.col("repeat_order_days") > 0) & (pl.col("mean_repeat_value") > 0)
MAX_CORRELATION = 0.3

SHAPE = (1e-3, 1e4)
SHAPE_OF_SCALE = (1.001, 1e4)  # the population has a mean above 1 only
SCALE = (1e-3, 1e5)

OUTLOOK = {"expected_order_value": pl.Float64(), "is_prior_value": pl.Boolean()}


@dataclass(frozen=True)
class GammaGamma:
    """Spend on a day with an order varies around the account's own mean, and the means between accounts.

    A day's spend is gamma distributed (shape p, rate v), v in turn gamma distributed (shape q, rate gamma,
    in money). How much is independent of how often: `correlation`, of repeat days and mean spend over the
    accounts fitted on, says how true that is.
    """

    p: float
    q: float
    gamma: float
    correlation: float

    def log_likelihood(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Log of the density of each account's mean spend; x whole numbers from 1, mean above 0."""
        p, q, gamma = self.p, self.q, self.gamma
        repeats = np.arange(1, np.max(x, initial=0) + 1)
        normaliser = gammaln(p * repeats + q) - gammaln(p * repeats) - gammaln(q)
        spent = x * mean
        return (
            normaliser[x - 1]
            + q * np.log(gamma / (gamma + spent))
            + p * x * np.log(spent / (gamma + spent))
            - np.log(mean)
        )

    def slopes(self, x: np.ndarray, mean: np.ndarray) -> list[np.ndarray]:
        """Derivatives of each account's log-likelihood in p, q, gamma."""
        p, q, gamma = self.p, self.q, self.gamma
        repeats = np.arange(1, np.max(x, initial=0) + 1)
        both = digamma(p * repeats + q)
        spent = x * mean
        return [
            x * ((both - digamma(p * repeats))[x - 1] + np.log(spent / (gamma + spent))),
            (both - digamma(q))[x - 1] + np.log(gamma / (gamma + spent)),
            q / gamma - (p * x + q) / (gamma + spent),
        ]

    def expected_value(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Expected spend on a day with an order; with x = 0 the population's mean, whatever `mean` says."""
        spent = np.where(x == 0, 0.0, x * mean)
        return self.p * (self.gamma + spent) / (self.p * x + self.q - 1)


def fit_gamma_gamma(histories: pl.DataFrame) -> Fit[GammaGamma]:
    """Gamma-Gamma of greatest likelihood.

    Args:
        histories: one row per account that `HAS_REPEATED`, with `repeat_order_days` and `mean_repeat_value`.
    """
    counts = (
        histories.group_by("repeat_order_days", pl.col("mean_repeat_value").cast(pl.Float64))
        .len("accounts")
        .sort("repeat_order_days", "mean_repeat_value")
    )
    x, mean, accounts = (counts[name].to_numpy() for name in counts.columns)
    unit = float((accounts * mean).sum() / accounts.sum())
    mean = mean / unit
    fit = maximum_likelihood(
        partial(GammaGamma, correlation=_correlation(x, mean, accounts)),
        GammaGamma.log_likelihood,
        GammaGamma.slopes,
        (x, mean),
        accounts,
        (1, 2, 1),
        (SHAPE, SHAPE_OF_SCALE, SCALE),
    )
    return replace(
        fit,
        model=replace(fit.model, gamma=fit.model.gamma * unit),
        log_likelihood=fit.log_likelihood - fit.accounts * float(np.log(unit)),
    )


def value_outlook(histories: pl.DataFrame, models: Mapping[str, GammaGamma]) -> pl.DataFrame:
    """Adds what each account is expected to spend on its next day with an order.

    Args:
        histories: one row per account x line, with `line`, `repeat_order_days`, `mean_repeat_value`.
        models: the Gamma-Gamma model of each line that has one.

    Returns:
        The rows given, in their order, with `expected_order_value` (money) and `is_prior_value` (true where
        nothing but the population's mean is known: no repeat). Both are NULL for an account without an
        order, with repeats but no mean value above 0, in a line without a model, and in a line where count
        and value correlate by more than 0.3 either way: the model assumes that they do not.
    """
    independent = {line: model for line, model in models.items() if abs(model.correlation) <= MAX_CORRELATION}
    return outlook_by_line(histories, independent, _outlook, OUTLOOK)


def _outlook(model: GammaGamma, accounts: pl.DataFrame) -> pl.DataFrame:
    x, mean = (accounts[name].cast(pl.Float64).to_numpy() for name in ("repeat_order_days", "mean_repeat_value"))
    has_no_repeat = pl.col("repeat_order_days") == 0
    known = HAS_REPEATED | has_no_repeat
    return accounts.select(
        expected_order_value=pl.when(known).then(pl.lit(pl.Series(model.expected_value(x, mean)))),
        is_prior_value=pl.when(known).then(has_no_repeat),
    )


def _correlation(x: np.ndarray, mean: np.ndarray, accounts: np.ndarray) -> float:
    """Of repeat days and mean spend over accounts; 0 where either is the same for all."""
    more = x - (accounts * x).sum() / accounts.sum()
    dearer = mean - (accounts * mean).sum() / accounts.sum()
    spread = np.sqrt((accounts * more**2).sum() * (accounts * dearer**2).sum())
    return float((accounts * more * dearer).sum() / spread) if spread > 0 else 0.0
