"""What a warehouse remembers of earlier days: the standings that a night goes on from, and the runs that left them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows.warehouse import exists, opened
from transforms.holding import NO_STANDINGS, STANDING

LAST_RUNS = 30


@dataclass(frozen=True)
class Past:
    """What was published for the days before one.

    Attributes:
        standings: of each account x line and account as a whole, as the last of these days left them.
        run: the ledger's row of that day, None where there is no such day.
        changed_shares: the shares of accounts that changed segment on the last days, the latest first.
    """

    standings: pl.DataFrame
    run: dict[str, Any] | None
    changed_shares: tuple[float, ...]

    @property
    def as_of(self) -> date | None:
        """The last of these days, None where there is none."""
        return self.run["as_of"] if self.run else None


NO_PAST = Past(NO_STANDINGS, None, ())


def past(warehouse: Path, as_of: date) -> Past:
    """What a warehouse has of the days before `as_of`; what was published for that day or later does not count."""
    if not exists(warehouse):
        return NO_PAST
    with opened(warehouse) as con:
        standings = con.sql(
            f"select account_id, line, {', '.join(STANDING)} from rapport.verdict_standings "
            "where valid_from < $as_of and coalesce(valid_to >= $as_of - 1, true)",
            params={"as_of": as_of},
        ).pl()
        runs = con.sql(
            "select * from rapport.runs where as_of < $as_of "
            "qualify row_number() over (partition by as_of order by published_at desc) = 1 "
            "order by as_of desc limit $most",
            params={"as_of": as_of, "most": LAST_RUNS},
        ).pl()
    shares = runs["changed_share"].drop_nulls().to_list()
    return Past(standings, next(iter(runs.to_dicts()), None), tuple(shares))


def published_hashes(warehouse: Path) -> dict[date, str]:
    """The days that a warehouse has, in order, each with the content hash of its last publication."""
    if not exists(warehouse):
        return {}
    with opened(warehouse) as con:
        found = con.execute(
            "select as_of, arg_max(content_hash, published_at) from rapport.runs "
            "where as_of in (select as_of from rapport.segment_summary) group by as_of order by as_of"
        ).fetchall()
    return dict(found)
