"""Whether an account still buys and on how many days it will: MBG/NBD, BG/NBD, Pareto/NBD, sBG.

In the models' methods `x`, `t_x` and `T` are the literature's names for the columns `repeat_order_days`,
`first_to_last_weeks` and `tenure_weeks`: arrays or numbers of equal shape, weeks whole or not,
0 <= t_x <= T, and t_x = 0 where x = 0. No method looks at more than one account at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import ClassVar, TypeVar

import numpy as np
import polars as pl
from scipy.special import expit, exprel, hyp2f1

from transforms.purchase_models.fits import Fit, maximum_likelihood, measured_slopes, outlook_by_line

HISTORY = ["repeat_order_days", "first_to_last_weeks", "tenure_weeks"]
HAS_ORDERED = pl.col("repeat_order_days").is_not_null()
WEEKS_AHEAD = 52

OUTLOOK = {"p_alive": pl.Float64(), "expected_order_days_12m": pl.Float64()}

# Within these hyp2f1 does not overflow, not even on the day of an account's first order.
SHAPE = (1e-3, 1e4)
RATE_WEEKS = (0.25, 1e5)
PARETO_SHAPE = (1e-3, 1e2)


@dataclass(frozen=True)
class MbgNbd:
    """Purchases until an account drops out, which it may do after any purchase, the first included.

    While active an account buys at random at its own weekly rate, gamma distributed (shape r, scale
    1/alpha weeks); after each purchase it drops out with its own chance, beta distributed (a, b).
    Source: Batislam, Denizel, Filiztekin (2007).
    """

    r: float
    alpha: float
    a: float
    b: float

    chances_at_first: ClassVar[int] = 1

    def log_likelihood(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
        """Log of the density of each account's order times; x whole numbers."""
        chances = x + self.chances_at_first
        before = np.arange(np.max(chances, initial=0))
        return (
            _running(np.log(self.r + before))[x]
            + self.r * np.log(self.alpha)
            - (self.r + x) * np.log(self.alpha + T)
            - _running(np.log1p(self.a / (self.b + before)))[chances]
            + np.logaddexp(0, self._log_odds_gone(x, t_x, T))
        )

    def slopes(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> list[np.ndarray]:
        """Derivatives of each account's log-likelihood in r, alpha, a, b."""
        r, alpha, a, b = astuple(self)
        chances = x + self.chances_at_first
        before = np.arange(np.max(chances, initial=0))
        gone = expit(self._log_odds_gone(x, t_x, T))
        stays = _running(1 / (a + b + before))[chances]
        return [
            _running(1 / (r + before))[x] - np.log1p(T / alpha) + gone * np.log((alpha + T) / (alpha + t_x)),
            r / alpha - (r + x) / (alpha + T) - gone * (r + x) * (T - t_x) / (alpha + T) / (alpha + t_x),
            gone / a - stays,
            _running(1 / (b + before))[chances] - stays - gone / (b + np.maximum(chances, 1) - 1),
        ]

    def p_alive(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
        """Probability that the account has not dropped out by T, 0 to 1."""
        return expit(-self._log_odds_gone(x, t_x, T))

    def expected_occasions(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray, weeks: float) -> np.ndarray:
        """Expected days with an order in the `weeks` after T, at least 0.

        With x = t_x = T = 0 it is the expectation for an account seen from its first order. Source: Fader,
        Hardie, Lee (2005), written so that a = 1 and large parameters do not lose the result.
        """
        # At a = 1 the formula is 0/0, where a - r is whole hyp2f1 fails: beside it five digits are the same.
        beside = (self.a, self.a + 2e-6, self.a + 4e-6)
        a = next(a for a in beside if abs(a - 1) >= 1e-6 and not _is_whole(a - self.r))
        chances = x + self.chances_at_first
        rate, waited = self.r + x, self.alpha + T
        # Euler's transformation swaps the two exponents: the smaller one cannot overflow.
        small, large = np.minimum(a - 1, rate), np.maximum(a - 1, rate)
        c = a + self.b + chances - 1
        left = (waited / (waited + weeks)) ** small * hyp2f1(small, c - large, c, weeks / (waited + weeks))
        return self.p_alive(x, t_x, T) * c / (a - 1) * (1 - left)

    def _log_odds_gone(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
        chances = x + self.chances_at_first
        odds = np.log(self.a / (self.b + np.maximum(chances, 1) - 1))
        silence = (self.r + x) * np.log((self.alpha + T) / (self.alpha + t_x))
        return np.where(chances == 0, -np.inf, odds + silence)


@dataclass(frozen=True)
class BgNbd(MbgNbd):
    """As MBG/NBD, but nobody drops out at the first purchase: without a repeat, p_alive is 1.

    Source: Fader, Hardie, Lee (2005). Kept to compare with; not for the relationship.
    """

    chances_at_first: ClassVar[int] = 0


@dataclass(frozen=True)
class ParetoNbd:
    """Purchases until an account drops out, which it may do at any moment.

    Purchases as in MBG/NBD; the time until it drops out is exponential with its own weekly rate, gamma
    distributed (shape s, scale 1/beta weeks). Source: Schmittlein, Morrison, Colombo (1987).
    """

    r: float
    alpha: float
    s: float
    beta: float

    def log_likelihood(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
        """Log of the density of each account's order times; x whole numbers."""
        before = np.arange(np.max(x, initial=0))
        return (
            _running(np.log(self.r + before))[x]
            + self.r * np.log(self.alpha)
            - (self.r + x) * np.log(self.alpha + T)
            - self.s * np.log1p(T / self.beta)
            + np.logaddexp(0, self._log_odds_gone(x, t_x, T))
        )

    def slopes(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> list[np.ndarray]:
        """Derivatives of each account's log-likelihood in r, alpha, s, beta; measured, not derived."""
        return measured_slopes(self, lambda model: model.log_likelihood(x, t_x, T))

    def p_alive(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
        """Probability that the account has not dropped out by T, 0 to 1."""
        return expit(-self._log_odds_gone(x, t_x, T))

    def expected_occasions(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray, weeks: float) -> np.ndarray:
        """Expected days with an order in the `weeks` after T, at least 0."""
        growth = np.log1p(weeks / (self.beta + T))
        active_weeks = (self.beta + T) * growth * exprel((1 - self.s) * growth)
        return self.p_alive(x, t_x, T) * (self.r + x) / (self.alpha + T) * active_weeks

    def _log_odds_gone(self, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> np.ndarray:
        """An integral over the moment of dropping out between t_x and T, as a difference of two tails."""
        r, alpha, s, beta = astuple(self)
        silence = (r + x) * np.log((alpha + T) / (alpha + t_x)) + s * np.log((beta + T) / (beta + t_x))
        since_last = self._tail(x, t_x)
        beyond_now = np.exp(-silence) * self._tail(x, T) / since_last
        with np.errstate(divide="ignore"):  # bought on the last day counted: no time to drop out, odds 0
            return np.log(s / (r + s + x) * since_last) + silence + np.log1p(-beyond_now)

    def _tail(self, x: np.ndarray, weeks: np.ndarray) -> np.ndarray:
        r, alpha, s, beta = astuple(self)
        if alpha >= beta:
            beside = s + 2e-6 if _is_whole(s) else s  # here hyp2f1 fails where s is whole, below where r is
            return hyp2f1(1, r + x, r + x + 1 + beside, (alpha - beta) / (alpha + weeks))
        beside = r + 2e-6 if _is_whole(r) else r
        ratio = (alpha + weeks) / (beta + weeks)
        return ratio * hyp2f1(1, s + 1, beside + s + x + 1, (beta - alpha) / (beta + weeks))


@dataclass(frozen=True)
class Sbg:
    """Renewals of a contract: each account ends at each renewal with its own chance, beta(alpha, beta).

    Source: Fader, Hardie (2007).
    """

    alpha: float
    beta: float

    def survival(self, renewals: int) -> np.ndarray:
        """Share of accounts still there after 0, 1, ... `renewals` renewals, 1 to 0."""
        return np.exp(-_running(np.log1p(self.alpha / (self.beta + np.arange(renewals)))))


OccasionModel = MbgNbd | ParetoNbd
Occasions = TypeVar("Occasions", bound=OccasionModel)
BetaGeometric = TypeVar("BetaGeometric", bound=MbgNbd)


def purchase_outlook(histories: pl.DataFrame, models: Mapping[str, OccasionModel]) -> pl.DataFrame:
    """Adds whether each account still buys and on how many days it will in the next 52 weeks.

    Args:
        histories: one row per account x line, with `line` and the columns of `HISTORY`.
        models: the model of each line that has one.

    Returns:
        The rows given, in their order, with `p_alive` (0 to 1) and `expected_order_days_12m` (days, at
        least 0); both are NULL for an account without an order and in a line without a model.
    """
    return outlook_by_line(histories, models, _outlook, OUTLOOK)


def _outlook(model: OccasionModel, accounts: pl.DataFrame) -> pl.DataFrame:
    history = [accounts[name].cast(pl.Float64).to_numpy() for name in HISTORY]
    outlook = {
        "p_alive": model.p_alive(*history),
        "expected_order_days_12m": model.expected_occasions(*history, WEEKS_AHEAD),
    }
    return pl.DataFrame(outlook).fill_nan(None)


def fit_mbg_nbd(histories: pl.DataFrame) -> Fit[MbgNbd]:
    """MBG/NBD of greatest likelihood for accounts that `HAS_ORDERED`, with the columns of `HISTORY`."""
    return _fit_beta_geometric(MbgNbd, histories)


def fit_bg_nbd(histories: pl.DataFrame) -> Fit[BgNbd]:
    """BG/NBD of greatest likelihood for accounts that `HAS_ORDERED`, with the columns of `HISTORY`."""
    return _fit_beta_geometric(BgNbd, histories)


def fit_pareto_nbd(histories: pl.DataFrame) -> Fit[ParetoNbd]:
    """Pareto/NBD of greatest likelihood for accounts that `HAS_ORDERED`, with the columns of `HISTORY`.

    Over ten times the work of MBG/NBD.
    """
    bounds = (PARETO_SHAPE, RATE_WEEKS, PARETO_SHAPE, RATE_WEEKS)
    weeks = float(histories["tenure_weeks"].to_numpy().max()) / 2
    return _fit(ParetoNbd, histories, [(1, 1, weeks), (0.2, 0.2, weeks)], bounds)


def fit_sbg(remaining: Sequence[int]) -> Fit[Sbg]:
    """SBG of greatest likelihood for one cohort of contracts.

    Args:
        remaining: accounts at the start and after each renewal, never rising.
    """
    ended = -np.diff(remaining)

    def log_likelihood(model: Sbg, renewals: np.ndarray) -> np.ndarray:
        survival = model.survival(len(ended))
        return np.log(np.append(-np.diff(survival), survival[-1]))[renewals]

    def slopes(model: Sbg, renewals: np.ndarray) -> list[np.ndarray]:
        return measured_slopes(model, lambda beside: log_likelihood(beside, renewals))

    accounts = np.append(ended, remaining[-1])
    return maximum_likelihood(Sbg, log_likelihood, slopes, [np.arange(accounts.size)], accounts, (1, 1), (SHAPE, SHAPE))


def _fit_beta_geometric(model: type[BetaGeometric], histories: pl.DataFrame) -> Fit[BetaGeometric]:
    # The likelihood can have two tops: few repeats because of slow buyers, or because many drop out.
    return _fit(model, histories, [(1, 1, 1), (0.2, 1, 10)], (SHAPE, RATE_WEEKS, SHAPE, SHAPE))


def _fit(
    model: type[Occasions],
    histories: pl.DataFrame,
    starts: Sequence[tuple[float, float, float]],
    bounds: Sequence[tuple[float, float]],
) -> Fit[Occasions]:
    """The best of several starts, tried on times rounded to a fiftieth of the longest tenure, then refined.

    A start is r and the two parameters after alpha; alpha follows from r and the orders there were.
    """
    exact = _counts(histories)
    x, _, T, accounts = exact
    weeks_per_repeat = (accounts * T).sum() / max((accounts * x).sum(), 1)
    step = max(T.max() / 50, 1 / 7)
    rough = _counts(histories.with_columns((pl.col(HISTORY[1:]) * (1 / step)).round() * step))
    tries = [_climb(model, rough, (r, r * weeks_per_repeat, *rest), bounds) for r, *rest in starts]
    best = max(tries, key=lambda fit: fit.log_likelihood)
    fit = _climb(model, exact, astuple(best.model), bounds)
    # Without a single repeat the likelihood flattens out, and the search may stop short of the bounds.
    return fit if x.any() else replace(fit, at_bound=True)


def _counts(histories: pl.DataFrame) -> list[np.ndarray]:
    """Distinct x, t_x, T and how many accounts have them; sorted, so that sums do not depend on row order."""
    counts = histories.group_by(HISTORY).len("accounts").sort(HISTORY)
    return [counts[name].to_numpy() for name in counts.columns]


def _climb(
    model: type[Occasions],
    counts: list[np.ndarray],
    start: Sequence[float],
    bounds: Sequence[tuple[float, float]],
) -> Fit[Occasions]:
    *history, accounts = counts
    return maximum_likelihood(model, model.log_likelihood, model.slopes, history, accounts, start, bounds)


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _running(values: np.ndarray) -> np.ndarray:
    """0, the first value, the sum of the first two, ..."""
    return np.concatenate(([0.0], np.cumsum(values)))
