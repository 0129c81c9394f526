"""Maximum likelihood over positive parameters, one fit per line of business, and its use on accounts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import polars as pl
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

MIN_ACCOUNTS = 200
NEAR = 1e-3
FLAT = 1e-5
AT_ONCE = 16_384
"""Histories, so few that what is computed of them stays in the processor's cache; another number gives other last digits."""

Model = TypeVar("Model")


@dataclass(frozen=True)
class Fit(Generic[Model]):
    """The model of greatest likelihood, and whether the search for it ended well.

    Attributes:
        model: the parameters found.
        log_likelihood: natural logarithm, summed over accounts.
        accounts: how many accounts it was fitted on.
        converged: the search ended where the likelihood is flat.
        at_bound: a parameter lies within 0.1 % of the end of its range, so the data do not determine it.
    """

    model: Model
    log_likelihood: float
    accounts: int
    converged: bool
    at_bound: bool

    @property
    def is_good(self) -> bool:
        """Whether the model may be used: a maximum, and inside the bounds."""
        return self.converged and not self.at_bound


@dataclass(frozen=True)
class LineFit(Generic[Model]):
    """What a line of business uses tonight, where it comes from, and tonight's own attempt.

    Attributes:
        model: the model to use; None when tonight's fit is not good and there is no last good one.
        origin: `own` and `pooled` are fitted tonight, `last_good` is the one passed in.
        attempt: tonight's fit, good or not; None when no account could be fitted on.
    """

    model: Model | None
    origin: Literal["own", "pooled", "last_good", "none"]
    attempt: Fit[Model] | None


def fits_by_line(
    histories: pl.DataFrame,
    fit: Callable[[pl.DataFrame], Fit[Model]],
    fitted_on: pl.Expr,
    last_good: Mapping[str, Model],
) -> dict[str, LineFit[Model]]:
    """Fits each line of business with at least 200 accounts on its own, and the others together.

    When the others together are still under 200 accounts, they use a fit on all lines.

    Args:
        histories: one row per account x line, with the column `line` and the columns that `fit` reads.
        fit: the model's fit.
        fitted_on: which rows count and are fitted on: `occasions.HAS_ORDERED`, `values.HAS_REPEATED`.
        last_good: the model each line used last, for a line whose fit ends at a bound or does not converge.

    Returns:
        One entry per line in `histories`, lines without a row to fit on included.
    """
    lines = histories["line"].unique().sort().to_list()
    usable = histories.filter(fitted_on)
    sizes = dict(usable.group_by("line").len().iter_rows())
    own = [line for line in lines if sizes.get(line, 0) >= MIN_ACCOUNTS]
    attempts: dict[str, Fit[Model]] = {line: fit(usable.filter(line=line)) for line in own}

    others = usable.filter(~pl.col("line").is_in(own))
    pool = others if others.height >= MIN_ACCOUNTS else usable
    if len(own) < len(lines) and pool.height:
        pooled = fit(pool)
        attempts = {line: attempts.get(line, pooled) for line in lines}

    return {
        line: _in_use(attempts.get(line), "own" if line in own else "pooled", last_good.get(line)) for line in lines
    }


def _in_use(attempt: Fit[Model] | None, origin: Literal["own", "pooled"], last_good: Model | None) -> LineFit[Model]:
    if attempt is not None and attempt.is_good:
        return LineFit(attempt.model, origin, attempt)
    return LineFit(last_good, "none" if last_good is None else "last_good", attempt)


def outlook_by_line(
    histories: pl.DataFrame,
    models: Mapping[str, Model],
    outlook: Callable[[Model, pl.DataFrame], pl.DataFrame],
    columns: Mapping[str, pl.DataType],
) -> pl.DataFrame:
    """Adds to each row what its own line's model says of it; NULL for a line without a model.

    Args:
        histories: one row per account x line, with the column `line`.
        models: a model for each line that has one.
        outlook: the new columns for the rows of one line.
        columns: name and type of the new columns.

    Returns:
        `histories` with the new columns, rows in the same order.
    """
    nothing = (
        histories.clear()
        .with_row_index("row")
        .with_columns(pl.lit(None, type_).alias(name) for name, type_ in columns.items())
    )
    pieces = [
        piece.hstack(outlook(models[line], piece)) if line in models else piece
        for (line,), piece in histories.with_row_index("row").partition_by("line", as_dict=True).items()
    ]
    return pl.concat([nothing, *pieces], how="diagonal").sort("row").drop("row")


def maximum_likelihood(
    model: Callable[..., Model],
    log_likelihood: Callable[..., np.ndarray],
    slopes: Callable[..., Sequence[np.ndarray]],
    history: Sequence[np.ndarray],
    accounts: np.ndarray,
    start: Sequence[float],
    bounds: Sequence[tuple[float, float]],
) -> Fit[Model]:
    """Climbs from `start` to the parameters of greatest likelihood, by L-BFGS-B on their logarithms.

    Args:
        model: makes a model of the parameters.
        log_likelihood: of a model and histories the log-likelihood of one account with each history.
        slopes: of the same its derivatives in each parameter.
        history: the histories there are: arrays of one length, as the two functions take them.
        accounts: how many accounts have each history.
        start: positive; moved to the nearest bound when outside.
        bounds: positive lower and upper end for each parameter.
    """
    ends = np.log(bounds)
    count = int(accounts.sum())
    pieces = [slice(first, first + AT_ONCE) for first in range(0, accounts.size, AT_ONCE)]

    def descent(logs: np.ndarray) -> tuple[float, np.ndarray]:
        values = np.exp(logs)
        here = model(*values.tolist())
        height, climb = 0.0, np.zeros_like(logs)
        for piece in pieces:
            some, weight = [each[piece] for each in history], accounts[piece]
            # Plain sums: a matrix product may give other last digits with another library.
            height += (weight * log_likelihood(here, *some)).sum()
            climb += [(weight * slope).sum() for slope in slopes(here, *some)]
        return -height / count, -climb * values / count

    # The search's own algebra is of a few numbers: a second thread would only keep a processor busy waiting.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            descent,
            np.log(np.clip(start, *np.transpose(bounds))),
            jac=True,
            method="L-BFGS-B",
            bounds=ends,
            options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500},
        )
    return Fit(
        model=model(*np.exp(found.x).tolist()),
        log_likelihood=-float(found.fun) * count,
        accounts=count,
        # The line search also stops, unsuccessfully, where rounding hides any further climb.
        converged=bool(found.success or np.abs(found.jac).max() < FLAT),
        at_bound=bool(np.abs(found.x[:, None] - ends).min() < NEAR),
    )


def measured_slopes(model: Model, log_likelihood: Callable[[Model], np.ndarray]) -> list[np.ndarray]:
    """Derivatives of a log-likelihood in each parameter of the model, from values a little to each side."""
    slopes = []
    for name, value in vars(model).items():
        step = value * 6e-6  # the cube root of the rounding error
        above, below = (type(model)(**vars(model) | {name: at}) for at in (value + step, value - step))
        slopes.append((log_likelihood(above) - log_likelihood(below)) / (2 * step))
    return slopes
