"""A flow run that is tried again goes on with what its last attempt sealed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from typing import Any

import duckdb

from config.errors import WarehouseError
from config.settings import config_hash
from flows.package import MANIFEST, verified
from flows.postgres_warehouse import up_to_date
from flows.stages import Run
from flows.state import WORK
from flows.warehouse import entries


def owned(run: Run, flow_run_id: str) -> Run:
    """The run under a name that ends with its flow run's, so that a later attempt of that finds it."""
    return replace(run, run_id=f"{run.started_at:%Y%m%dT%H%M%S}-{flow_run_id[-12:]}")  # ids of one minute begin alike


def sealed_before(run: Run) -> Run | None:
    """The run of an earlier attempt of the same flow run that passed its audits and sealed a package, but did not end.

    What reached the sources since then waits for the next run: a second attempt is there to publish what the first one
    found, not to find something else. An attempt of another day, configuration or version of Rapport, or with a
    package that was changed, is computed again; so is one that ended well, whose working data is gone, and one since
    which a later run published the day.

    Args:
        run: this attempt, as `owned` names it.
    """
    owner = run.run_id.rpartition("-")[2]
    folders = sorted(run.folder.parent.glob(f"*-{owner}"), reverse=True)
    attempts = (replace(run, run_id=folder.name) for folder in folders)
    return next((attempt for attempt in attempts if _is_sealed(attempt)), None)


def _is_sealed(run: Run) -> bool:
    if not ((run.folder / WORK).exists() and (run.package / MANIFEST).exists()):
        return False
    try:
        with duckdb.connect() as con:
            sealed = verified(con, run.package).run
    except WarehouseError:
        return False
    wanted = (run.as_of.isoformat(), config_hash(run.business), version("rapport"))
    return (sealed["as_of"], sealed["config_hash"], sealed["code_version"]) == wanted and not _is_overtaken(run, sealed)


def _is_overtaken(run: Run, sealed: Mapping[str, Any]) -> bool:
    """Whether a run that began later published the same day, or rolled back to another one."""
    started_at = datetime.fromisoformat(str(sealed["started_at"]))
    return any(
        each["started_at"] > started_at and (each["as_of"] == run.as_of or each.get("rolled_back_to"))
        for each in entries(up_to_date(run.business))
    )
