"""Why an account has its verdict, from the published tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from config.catalogue import BY_NAME, DIMENSIONS
from config.errors import ConfigurationError, WarehouseError
from config.rules import ROLL_UP
from config.scoring import Ruler
from config.settings import Business
from flows.forgotten import forgotten
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
            since = forgotten(business.state).day_of(account)
            if since:
                raise ConfigurationError(f"account {account!r} was forgotten on {since}. There is nothing to explain.")
            near = con.execute(NEAREST, {"account": account, "alike": ALIKE, "whole": ROLL_UP}).fetchall()
            raise ConfigurationError(
                f"there is no account {account!r} in {where}.{f' Did you mean {near[0][0]!r}?' if near else ''}"
            )
    wanted = verdicts if line is None else verdicts.filter(pl.col("line") == line)
    if wanted.is_empty():
        raise ConfigurationError(
            f"account {account!r} has no line {line!r}; its lines are {named(verdicts['line'].to_list())}."
        )
    periods: dict[str, list[dict[str, Any]]] = {}
    for period in history.to_dicts():
        periods.setdefault(period["line"], []).append(period)
    parts = _parts(features, business.ruler, business.currency)
    enters_at = log_odds_at(business.ruler.verdict.enter)
    found = []
    for verdict in wanted.to_dicts():
        leading = _leading_line(verdict, verdicts) if verdict["line"] == ROLL_UP else verdict["line"]
        found.append(_explained(verdict, leading, parts[leading], periods.get(verdict["line"], []), enters_at))
    if any(abs(_added_up(each) - each.score) > TOLERANCE for each in found):
        raise WarehouseError(
            f"warehouse {path}: its verdicts were given by another ruler {business.ruler.version} than this one. Nothing can be "
            "explained. Run again, and give a ruler that you change another version."
        )
    return found


def _explained(
    verdict: dict[str, Any],
    leading_line: str,
    parts: tuple[Part, ...],
    history: Sequence[dict[str, Any]],
    enters_at: float,
) -> Explanation:
    names = [each.name for each in fields(Period)]
    return Explanation(
        **{each.name: verdict[each.name] for each in fields(Explanation) if each.name in verdict},
        leading_line=leading_line,
        history=tuple(Period(**{name: period[name] for name in names}) for period in history),
        parts=parts,
        log_odds=verdict["base_points"] + sum(verdict[f"{dimension}_points"] for dimension in DIMENSIONS),
        enters_at=enters_at,
    )


def _parts(features: pl.DataFrame, ruler: Ruler, currency: str) -> dict[str, tuple[Part, ...]]:
    """By line what each known feature adds, in words, from the largest down."""
    points = {row["line"]: row for row in features.select("line", *contributions(ruler)).to_dicts()}
    found: dict[str, list[Part]] = {line: [] for line in points}
    for name in ruler.features:
        known = features.filter(pl.col(name).is_not_null())
        for line, words in zip(known["line"], in_words(BY_NAME[name], known[name], currency), strict=True):
            found[line].append(Part(name, points[line][contribution(name)], words))
    return {line: tuple(sorted(parts, key=lambda part: -abs(part.points))) for line, parts in found.items()}


def _added_up(found: Explanation) -> float:
    """The score that the parts come to."""
    return 100 / (1 + math.exp(-found.base_points - sum(part.points for part in found.parts)))


def _leading_line(whole: dict[str, Any], verdicts: pl.DataFrame) -> str:
    """The line whose verdict an account as a whole has."""
    same = pl.all_horizontal(pl.col(name) == pl.lit(whole[name]) for name in ("segment", "stage", "score"))
    # the whole may say after the reasons of its leading line which other one would keep it a client
    begins = pl.lit(whole["reasons"]).str.starts_with(pl.col("reasons"))
    return verdicts.filter(same, begins, pl.col("line") != ROLL_UP).sort("line")["line"][0]
