"""The gate on change: a run in which unusually many accounts change segment is held until a person has looked at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import duckdb

from config.rules import ROLL_UP
from config.settings import Gates


@dataclass(frozen=True)
class Change:
    """How many accounts moved to another segment, or left, since the last day published before.

    Attributes:
        accounts: how many.
        of: all that there were.
    """

    accounts: int
    of: int

    @property
    def share(self) -> float | None:
        """Their share, 0 to 1; None where nothing was published before."""
        return self.accounts / self.of if self.of else None


def change_of(con: duckdb.DuckDBPyConnection) -> Change:
    """The change of a run, from its `segment_changes` and `standings_before`; accounts as a whole are counted."""
    moved = "select count(*) from segment_changes where line = $whole and change <> 'entered'"
    before = "select count(*) from standings_before where line = $whole"
    counts = [con.execute(query, {"whole": ROLL_UP}).fetchall()[0][0] for query in (moved, before)]
    return Change(*counts)


def beyond_limit(change: Change, gates: Gates, runs: Sequence[Mapping[str, Any]]) -> str | None:
    """What is wrong with a change that the gate holds; None where it lets it pass.

    The limit is the configured share, or so many times the median share of the last runs, whichever is more.

    Args:
        change: the change.
        gates: the limits.
        runs: the ledger's rows of the last runs before; a first one, which changed nothing, does not count.
    """
    shares = [run["changed_share"] for run in runs if run["changed_share"] is not None]
    usual = median(shares) if shares else 0.0
    limit = max(gates.changed_share, gates.changed_times_usual * usual)
    if change.share is None or change.share <= limit:
        return None
    return (
        f"{change.accounts:,} of {change.of:,} accounts ({change.share:.2%}) would change segment; the limit is {limit:.2%} "
        f"(the median of the last {len(shares)} runs is {usual:.2%})"
    )
