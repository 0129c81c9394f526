"""`rapport compare`: who would move under another ruler or business file; nothing is published."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from config.decisions import Merge
from config.settings import Business, is_ruler, load, or_bundled, with_ruler
from flows.forgotten import forgotten, write_list
from flows.history import standings_before
from flows.postgres_warehouse import up_to_date
from flows.runs import at_work, new_run
from flows.stages import Run, facts_and_features
from flows.warehouse import live
from transforms.comparison import movers, moves
from transforms.decided import overrides_in_force
from transforms.judgement import held_verdicts

SAME_INPUT = {"sources", "timezone", "currency", "margin_share"}
ASIDE = "compare"
"""Where below `state` another configuration's facts are made."""


@dataclass(frozen=True)
class Comparison:
    """Who would move.

    Attributes:
        as_of: the day compared.
        currency: the reporting currency.
        accounts: account lines there are now.
        moves: per line and pair of segments, accounts and revenue.
        movers: one row per account line that would move, with what moves it most.
    """

    as_of: date
    currency: str
    accounts: int
    moves: pl.DataFrame
    movers: pl.DataFrame


def compare(business: Business, against: Path, as_of: date | None = None) -> Comparison:
    """Compares where accounts settle, without waiting, under the business file and under another file.

    Both start from the segments that are held now, so that a score between the thresholds moves nobody.

    Args:
        business: the business as it is.
        against: another business file, or another ruler alone, of the bundled ones too.
        as_of: the day; the last one published where not given, else the one that a run would take.

    Raises:
        ConfigurationError: the other file is wrong.
    """
    file = or_bundled(against)
    other = with_ruler(business, file) if is_ruler(file) else load(file)
    present = live(up_to_date(business))
    run = new_run(business, as_of=as_of or (present["as_of"] if present else None), dry_run=True)
    with at_work(run):
        facts, known = facts_and_features(run)
        ours = _settled(run, business, facts, known)
        if _input(run) == _input(replace(run, business=other)):
            theirs = _settled(run, other, facts, known)
        else:
            with _aside(business.state / ASIDE) as state:
                state.mkdir()
                write_list(forgotten(business.state), state)
                aside = new_run(other.model_copy(update={"state": state}), as_of=run.as_of, dry_run=True)
                theirs = _settled(run, other, *facts_and_features(aside))
    found = movers(ours, theirs, business.ruler.features, other.ruler.features)
    return Comparison(run.as_of, business.currency, ours.height, moves(found), found)


@contextmanager
def _aside(state: Path) -> Generator[Path]:
    """A state that is empty, whatever a comparison that was killed left, and taken away in the end."""
    shutil.rmtree(state, ignore_errors=True)
    try:
        yield state
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _input(run: Run) -> tuple[dict[str, Any], list[Merge]]:
    """What decides the facts of a day."""
    return run.business.model_dump(include=SAME_INPUT), run.merges


def _settled(run: Run, business: Business, facts: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The verdicts without waits, from what is held up to the day compared."""
    rules = business.ruler.verdict.model_copy(update={"enter_days": 1, "leave_days": 1, "dwell_days": 0})
    return held_verdicts(
        known,
        facts,
        business.ruler.model_copy(update={"verdict": rules}),
        run.as_of,
        standings_before(run.warehouse, run.as_of + timedelta(days=1)),
        overrides_in_force(business.decided, facts, run.as_of),
    )
