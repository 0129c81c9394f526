"""Why an account has its verdict, from the published tables."""

import math
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

import polars as pl

from config.catalogue import BY_NAME, DIMENSIONS
from config.errors import ConfigurationError, WarehouseError
from config.rules import ROLL_UP
from config.settings import Business
from flows.postgres_warehouse import up_to_date
from flows.warehouse import live, opened, place
from transforms.decided import merges_in_force
from transforms.names import named
from transforms.reasons import in_words
from transforms.score import contribution, contributions, log_odds_at

TOLERANCE = 1e-6  # points of the score, far more than rounding can move it
ALIKE = 0.8  # similarity of Jaro and Winkler, 0 to 1, from which on an account may be the one that was meant
NEAREST = """
    select account_id from rapport.account_segments
    where line = $whole and jaro_winkler_similarity(account_id, $account) >= $alike
    order by jaro_winkler_similarity(account_id, $account) desc, account_id limit 1
"""


@dataclass(frozen=True)
class Part:
    """What one feature adds to the log-odds, and the feature in words."""

    feature: str
    points: float
    words: str


@dataclass(frozen=True)
class Period:
    """A time in one segment; `valid_to` is None while it lasts."""

    valid_from: date
    valid_to: date | None
    segment: str
    because: str


@dataclass(frozen=True)
class Explanation:
    """The verdict on an account in one line, or as a whole, with all that adds up to it.

    The account as a whole, line '*', has the verdict of its leading line. `parts` go from the largest down, `history` from the
    first period on.
    """

    account_id: str
    line: str
    leading_line: str
    as_of: date
    segment: str
    stage: str
    score: float
    evidence: float
    segment_since: date
    previous_segment: str | None
    treatment: str
    reasons: str
    base_points: float
    history: tuple[Period, ...]
    parts: tuple[Part, ...]
    log_odds: float
    enters_at: float


def explanation(business: Business, account: str, line: str | None) -> list[Explanation]:
    """Explains the published verdicts on an account: each line and the account as a whole, or one line.

    Raises:
        WarehouseError: nothing was published yet, or by another ruler than the business file's.
        ConfigurationError: there is no such account or line.
    """
    path, where = up_to_date(business), place(business.warehouse)
    present = live(path)
    if present is None:
        raise WarehouseError(
            f"warehouse {where}: nothing was published yet. Run: rapport run, with the same --config; a path is "
            f"looked for from {Path.cwd()}."
        )
    if present["ruler_version"] != business.ruler.version:
        raise WarehouseError(
            f"warehouse {where}: its verdicts were given by the ruler {present['ruler_version']}, and the business file names "
            f"{business.ruler.version}. Nothing can be explained. Run again, or name the other ruler."
        )
    with opened(path) as con:
        verdicts, features, history = (
            con.sql(
                f"select * from rapport.{table} where account_id = $account order by all", params={"account": account}
            ).pl()
            for table in ("account_segments", "account_features", "account_segment_history")
        )
        if verdicts.is_empty():
            into = next(
                (each for each in merges_in_force(business.decided, present["as_of"]) if each.account_id == account),
                None,
            )
            if into:
                raise ConfigurationError(
                    f"account {account!r} counts as {into.into!r} since {into.first_day}, by a merge in {business.decisions}. "
                    "Ask for that one."
                )
            near = con.execute(NEAREST, {"account": account, "alike": ALIKE, "whole": ROLL_UP}).fetchall()
            raise ConfigurationError(
                f"there is no account {account!r} in {where}.{f' Did you mean {near[0][0]!r}?' if near else ''}"
            )
    wanted = verdicts if line is None else verdicts.filter(pl.col("line") == line)
    if wanted.is_empty():
        raise ConfigurationError(
            f"account {account!r} has no line {line!r}; its lines are {named(verdicts['line'].to_list())}."
        )
    found = [_explained(business, verdict, verdicts, features, history) for verdict in wanted.to_dicts()]
    if any(abs(_added_up(each) - each.score) > TOLERANCE for each in found):
        raise WarehouseError(
            f"warehouse {path}: its verdicts were given by another ruler {business.ruler.version} than this one. Nothing can be "
            "explained. Run again, and give a ruler that you change another version."
        )
    return found


def _explained(
    business: Business, verdict: dict, verdicts: pl.DataFrame, features: pl.DataFrame, history: pl.DataFrame
) -> Explanation:
    ruler = business.ruler
    line = _leading_line(verdict, verdicts)
    row = features.filter(pl.col("line") == line)
    points = row.select(contributions(ruler)).row(0, named=True)
    parts = [
        Part(name, points[contribution(name)], in_words(BY_NAME[name], row[name], business.currency)[0])
        for name in ruler.features
        if row[name][0] is not None
    ]
    return Explanation(
        **{each.name: verdict[each.name] for each in fields(Explanation) if each.name in verdict},
        leading_line=line,
        history=tuple(
            Period(**period)
            for period in history.filter(pl.col("line") == verdict["line"])
            .select(each.name for each in fields(Period))
            .to_dicts()
        ),
        parts=tuple(sorted(parts, key=lambda part: -abs(part.points))),
        log_odds=verdict["base_points"] + sum(verdict[f"{dimension}_points"] for dimension in DIMENSIONS),
        enters_at=log_odds_at(ruler.verdict.enter),
    )


def _added_up(found: Explanation) -> float:
    """The score that the parts come to."""
    return 100 / (1 + math.exp(-found.base_points - sum(part.points for part in found.parts)))


def _leading_line(verdict: dict, verdicts: pl.DataFrame) -> str:
    """The line itself; of an account as a whole the line whose verdict it has."""
    same = pl.all_horizontal(pl.col(name) == pl.lit(verdict[name]) for name in ("segment", "stage", "score", "reasons"))
    return verdicts.filter(same).sort(pl.col("line") == verdict["line"], descending=verdict["line"] != ROLL_UP)["line"][
        0
    ]
