"""Backfill: days of the past, one after the other, as if each had been a night; made visible all at once at the end.

The days are replayed in a private copy of the warehouse, so that readers see the tables of the last day the whole time, and a
backfill that is killed leaves nothing but that copy. Days published after the first one are replayed too: what they found
rested on what went before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import polars as pl

from config.errors import ChangeHeld, ConfigurationError
from config.rules import ROLL_UP
from config.settings import Business
from flows.gates import Change, beyond_limit
from flows.history import published_hashes, runs_before
from flows.postgres_warehouse import bring_level, up_to_date
from flows.runs import Timing, new_run, run_stages, state_held, today
from flows.stages import STAGES, Run, Stage, extract, mark_published, tidy
from flows.warehouse import copied, exchange, exists, live, location, opened

Every = Literal["day", "week", "month"]
INTERVALS: dict[Every, str] = {"day": "1d", "week": "1w", "month": "1mo"}
COPY = Path("backfill", "warehouse.duckdb")


@dataclass(frozen=True)
class Replayed:
    """One replayed day, and what its stages did and cost."""

    as_of: date
    costs: tuple[Timing, ...]


@dataclass(frozen=True)
class Backfill:
    """A backfill that is about to start.

    Attributes:
        business: the business's configuration.
        steps: the days asked for, in order.
        run_id: its name, while it holds the state and the warehouse.
        started_at: when it began, UTC.
        known_at: for the days asked for, count only what had reached the pipeline by then, UTC; None counts all.
        accept_change: why a change beyond the gate's limit is right; None lets the gate hold it.
        wait_seconds: how long to wait for another run.
    """

    business: Business
    steps: tuple[date, ...]
    run_id: str
    started_at: datetime
    known_at: datetime | None
    accept_change: str | None
    wait_seconds: float

    @property
    def days(self) -> tuple[date, ...]:
        """The days to replay, in order: those asked for, and those that are published by now after the first of them."""
        later = [day for day in published_hashes(location(self.business)) if day > self.steps[0]]
        return tuple(sorted({*self.steps, *later}))

    @property
    def copy(self) -> Path:
        """The private copy of the warehouse."""
        return self.business.state / COPY


def new_backfill(
    business: Business,
    since: date,
    until: date,
    every: Every,
    known_at: datetime | None = None,
    accept_change: str | None = None,
    wait_seconds: float = 0,
) -> Backfill:
    """A backfill of the days from `since` to `until`, and of those published after `since`.

    Args:
        business: the business's configuration.
        since: the first day.
        until: the last day at most; the last one is the last of the steps that does not pass it.
        every: the step. A month after the 31st is the last day of a month that has none.
        known_at: for days up to the last step, count only what had reached the pipeline by then, UTC; None counts all.
        accept_change: why a change beyond the gate's limit is right.
        wait_seconds: how long to wait for another run.

    Raises:
        ConfigurationError: `since` is after `until`, or `until` lies in the future.
    """
    if since > until:
        raise ConfigurationError(f"from: {since} is after until, {until}. Nothing was changed. Exchange the two.")
    latest = today(business)
    if until > latest:
        raise ConfigurationError(
            f"until: {until} lies in the future; today is {latest} in {business.timezone}. Nothing was changed. "
            "Choose a day that has come."
        )
    up_to_date(business)
    steps = pl.date_range(since, until, INTERVALS[every], eager=True).to_list()
    first = new_run(business, as_of=since)
    return Backfill(
        business=business,
        steps=tuple(steps),
        run_id=first.run_id,
        started_at=first.started_at,
        known_at=known_at,
        accept_change=accept_change,
        wait_seconds=wait_seconds,
    )


def replay(backfill: Backfill, stages: tuple[Stage, ...] = STAGES) -> Iterator[Replayed]:
    """Replays the days in order and gives each as it is done; after the last one all become visible at once.

    The sources are read once, before the first day. Days that give what they gave before change nothing.

    Args:
        backfill: the backfill.
        stages: the stages, or the same wrapped as tasks.

    Raises:
        Busy: another run holds the business or the warehouse.
        ChangeHeld: more accounts would have another segment in the end than the gate lets pass.
        RapportError: as the stages do.
    """
    business = backfill.business
    with state_held(business, backfill.run_id, backfill.started_at, backfill.wait_seconds):
        live_path = up_to_date(business)
        as_copied = copied(live_path, backfill.copy)
        before, days, ran = published_hashes(live_path), backfill.days, []
        for day in days:
            run = _run(backfill, day)
            ran.append(run.run_id)
            left = stages if day == days[0] else tuple(each for each in stages if not _is_extract(each))
            yield Replayed(day, tuple(run_stages(run, announce=lambda _: None, stages=left)))
            tidy(run)
        if published_hashes(backfill.copy) != before:
            _require_calm(backfill, days, live_path)
            exchange(backfill.copy, live_path, as_copied, backfill.run_id, backfill.started_at, backfill.wait_seconds)
            for run_id in ran:
                mark_published(business, run_id)
        last = live(live_path)
        if last:
            bring_level(business, last["run_id"], backfill.wait_seconds)
        backfill.copy.unlink()


def _run(backfill: Backfill, day: date) -> Run:
    known_at = backfill.known_at if day <= backfill.steps[-1] else None
    run = new_run(backfill.business, as_of=day, known_at=known_at, accept_change=backfill.accept_change)
    return replace(run, replay_in=backfill.copy)


def _is_extract(stage: Stage) -> bool:
    return stage.__name__ == extract.__name__


def _require_calm(backfill: Backfill, days: Sequence[date], live_path: Path) -> None:
    """Holds what the tables would be after all days against what they are."""
    if not exists(live_path) or backfill.accept_change:
        return
    now, then = (_segments(path) for path in (live_path, backfill.copy))
    moved = now.join(then, on="account_id", how="left", suffix="_then").filter(
        pl.col("segment").ne_missing(pl.col("segment_then"))
    )
    change = Change(moved.height, now.height)
    held_back = beyond_limit(change, backfill.business.gates, runs_before(live_path, days[0]))
    if held_back:
        raise ChangeHeld(
            f"{backfill.business.business}, {days[0]} to {days[-1]}: {held_back}. Nothing was published; the tables "
            'of the last run stand. If the change is right, run again with --accept-change "why".'
        )


def _segments(warehouse: Path) -> pl.DataFrame:
    with opened(warehouse) as con:
        return con.sql(
            "select account_id, segment from rapport.account_segments where line = $whole", params={"whole": ROLL_UP}
        ).pl()
