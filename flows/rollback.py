"""Going back to what an earlier run published, from the package that it sealed; the days after it are taken back."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from config.errors import ConfigurationError, WarehouseError
from config.settings import Business
from flows.forgotten import require_finished
from flows.history import goes_on, published_hashes
from flows.machine import memory_limit
from flows.package import MANIFEST, resealed
from flows.postgres_warehouse import bring_level, published, require_writable, up_to_date
from flows.publishing import publish
from flows.runs import new_run, state_held
from flows.stages import PACKAGE, RUNS, Run, mark_published
from flows.warehouse import entries, place, unattached


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
        ConfigurationError: the run published nothing, is what readers see, goes on from another past than what is published, or
            its package is gone; or another business publishes to the warehouse.
        SourceError: an account is being forgotten.
        WarehouseError: the package is not what was sealed, or the warehouse failed.
        Busy: a run is at work.
    """
    run = new_run(business, wait_seconds=wait_seconds)
    with state_held(business, run.run_id, run.started_at, wait_seconds):
        require_finished(business.state)
        require_writable(business)
        path, present = up_to_date(business), published(business)
        if present is None:
            raise WarehouseError(f"warehouse {run.place}: nothing was published yet.")
        _require_kept(business, path, to, present["run_id"])
        days = published_hashes(path)
        as_of, verdicts = _published_again(run, path, to)
        bring_level(business, run.run_id, wait_seconds)
    return RolledBack(run.run_id, to, as_of, verdicts, taken_back=tuple(day for day in days if day > as_of))


def _published_again(run: Run, path: Path, to: str) -> tuple[date, int]:
    """Publishes a run's package as that of another, whose copy of it goes again; gives its day, and how many verdicts it has."""
    told = {"run_id": run.run_id, "business": run.business.name, "started_at": run.started_at, "rolled_back_to": to}
    try:
        with unattached() as con:
            package = resealed(con, run.business.state / RUNS / to / PACKAGE, run.package, told)
        publish(run.package, path, run.wait_seconds, takes_later_days_back=True, memory=memory_limit(run.business))
        mark_published(run.business, to)
    finally:
        shutil.rmtree(run.folder, ignore_errors=True)
    return date.fromisoformat(str(package.run["as_of"])), package.rows["account_segments"]


def _require_kept(business: Business, path: Path, to: str, present: str) -> None:
    """Makes sure that a run published something that is not what readers see, and that its package can be published now."""
    listed = entries(path)
    runs = {each["run_id"]: each for each in listed}
    seen = runs[present].get("rolled_back_to") or present
    kept = [
        run_id for run_id in runs if run_id != seen and (business.state / RUNS / run_id / PACKAGE / MANIFEST).exists()
    ]
    fit = [run_id for run_id in kept if goes_on(listed, runs[run_id]["as_of"], runs[run_id]["continues_run_id"])]
    if to in fit:
        return
    where, told = place(business.warehouse), {run_id: f"{run_id} (as of {runs[run_id]['as_of']})" for run_id in runs}
    if to in (seen, present):
        fault = f"run {to} is what readers of {where} see"
    elif to not in runs:
        fault = f"no run {to} published to {where}"
    else:
        as_of, continues = runs[to]["as_of"], runs[to]["continues_run_id"]
        past = f"run {told[continues]}" if continues else "nothing"
        fault = (
            f"run {to} goes on from {past}, which is not what is published of the days before {as_of}"
            if to in kept
            else f"the package of run {to} is not kept here"
        )
        fault += f". rapport backfill --from {as_of} --until {as_of}, with the same --config, computes its day anew, and those after it"
    raise ConfigurationError(
        f"{fault}. Nothing was changed. Runs to go back to: {', '.join(told[run_id] for run_id in fit) or 'none'}."
    )
