"""Going back to what an earlier run published, from the package that it sealed; the days after it are taken back."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from config.errors import ConfigurationError, WarehouseError
from config.settings import Business
from flows.history import published_hashes
from flows.machine import memory_limit
from flows.package import MANIFEST, resealed
from flows.postgres_warehouse import bring_level, require_writable, up_to_date
from flows.publishing import publish
from flows.runs import new_run, state_held
from flows.stages import PACKAGE, RUNS, forget_old_runs
from flows.warehouse import LEDGER, live, opened, place, unattached


@dataclass(frozen=True)
class RolledBack:
    """What readers see again.

    Attributes:
        run_id: the entry in the ledger.
        to: the run whose result it is.
        as_of: its last day counted.
        verdicts: rows of `account_segments`.
        taken_back: the later days that were published, in order.
    """

    run_id: str
    to: str
    as_of: date
    verdicts: int
    taken_back: tuple[date, ...]


def roll_back(business: Business, to: str, wait_seconds: float = 0) -> RolledBack:
    """Publishes again what an earlier run published; the next run goes on from there.

    Args:
        business: the business.
        to: the run's id, as the ledger has it.
        wait_seconds: how long to wait for another run.

    Raises:
        ConfigurationError: the run published nothing, is what readers see, or its package is gone.
        WarehouseError: the package is not what was sealed, days before it were published anew since, or the warehouse failed.
        Busy: a run is at work.
    """
    run = new_run(business, wait_seconds=wait_seconds)
    with state_held(business, run.run_id, run.started_at, wait_seconds):
        require_writable(business)
        path = up_to_date(business)
        present = live(path)
        if present is None:
            raise WarehouseError(f"warehouse {place(business.warehouse)}: nothing was published yet.")
        _require_kept(business, path, to, present["run_id"])
        days = published_hashes(path)
        told = {"run_id": run.run_id, "started_at": run.started_at, "accepted_change": f"rolled back to run {to}"}
        with unattached() as con:
            package = resealed(con, business.state / RUNS / to / PACKAGE, run.package, told)
        published = publish(run.package, path, wait_seconds, takes_later_days_back=True, memory=memory_limit(business))
        bring_level(business, run.run_id, wait_seconds)
        forget_old_runs(run)
    as_of = date.fromisoformat(str(package.run["as_of"]))
    return RolledBack(
        run_id=run.run_id,
        to=to,
        as_of=as_of,
        verdicts=published.rows["account_segments"],
        taken_back=tuple(day for day in days if day > as_of),
    )


def _require_kept(business: Business, path: Path, to: str, present: str) -> None:
    """Makes sure that a run published something, and that its package is still there."""
    with opened(path) as con:
        found = con.execute(f"select run_id, as_of from {LEDGER} order by published_at desc").fetchall()
    published = dict(found)
    kept = {
        run_id: as_of
        for run_id, as_of in published.items()
        if run_id != present and (business.state / RUNS / run_id / PACKAGE / MANIFEST).exists()
    }
    if to in kept:
        return
    where, listed = place(business.warehouse), ", ".join(f"{run_id} (as of {day})" for run_id, day in kept.items())
    if to == present:
        fault = f"run {to} is what readers of {where} see"
    elif to in published:
        fault = (
            f"the package of run {to} is no longer kept; rapport backfill --from {published[to]} computes its day anew"
        )
    else:
        fault = f"no run {to} published to {where}"
    raise ConfigurationError(f"{fault}. Nothing was changed. Runs to go back to: {listed or 'none'}.")
