"""The flow: the stages of a run as Prefect tasks, for the nightly schedule, the Prefect UI and `rapport run`."""

import atexit
import logging
import os
import re
import sys
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, cast
from zoneinfo import ZoneInfo

import httpx
from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import deployment, flow_run
from pydantic import Field

from config.errors import Busy, ConfigurationError, RapportError, SourceError, WarehouseError
from config.settings import load
from flows.report import Report, report
from flows.runs import CONFIG_DIRECTORY, EXAMPLE, Timing, at_work, business_file, new_run, run_stages
from flows.stages import STAGES, Run, Stage, extract, publish

RETRIED = (extract, publish)
RETRY_AFTER_SECONDS = [30.0, 120.0]

# when the interpreter ends, DuckDB's binding lists on stderr what Prefect's threads still hold: of no use to anybody
atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def may_pass_later(_task: object, _run: TaskRun, state: State) -> bool:
    """Whether a failed stage is tried again: a source or a warehouse may come back, and nobody waits for the answer.

    A person who started the run with `rapport run` hears of the failure at once.
    """
    if deployment.id is None:
        return False
    return isinstance(state.result(raise_on_failure=False), Busy | SourceError | WarehouseError | OSError)


def _as_task(stage: Stage) -> Task[[Run], str]:
    # what a stage makes lies in the run's folder: there is nothing to cache, and no reason to hash a run
    if stage not in RETRIED:
        return task(cache_policy=NO_CACHE)(stage)
    return task(
        cache_policy=NO_CACHE,
        retries=len(RETRY_AFTER_SECONDS),
        retry_delay_seconds=RETRY_AFTER_SECONDS,
        retry_jitter_factor=0.5,
        retry_condition_fn=may_pass_later,
    )(stage)


TASKS = tuple(_as_task(stage) for stage in STAGES)


def _run_name() -> str:
    given = flow_run.parameters
    if given["as_of"]:
        return f"{given['business']} up to {given['as_of']}"
    return f"{given['business']}, due {flow_run.scheduled_start_time:%Y-%m-%d %H:%M} UTC"


@flow(name="segment-accounts", flow_run_name=_run_name)
def segment_accounts(
    business: Name = EXAMPLE,
    as_of: date | None = None,
    rebuild: bool = False,
    dry_run: bool = False,
    wait_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600,
) -> tuple[Report, list[Timing]]:
    """Decides which accounts are clients and which are customers, and publishes the verdict.

    Reads the sources of a business, computes the relationship of each account as of a day, holds the result against the
    audits, and makes it visible in the warehouse all at once. Running a day again changes nothing.

    Args:
        business: Name of the business's file in the configuration directory, without `.yaml`.
        as_of: The last day counted, inclusive, in the business's time zone. Left empty, the day that the business file
            names, else the day before the run was due, however late it starts.
        rebuild: Read the sources again from the start, whatever was read before.
        dry_run: Do everything but publish.
        wait_seconds: How long to wait for another run of the same business, in seconds.
    """
    configuration = load(business_file(business))
    due_on = flow_run.scheduled_start_time.astimezone(ZoneInfo(configuration.timezone)).date()
    run = new_run(
        configuration,
        as_of=as_of or configuration.as_of or due_on - timedelta(days=1),
        rebuild=rebuild,
        dry_run=dry_run,
        wait_seconds=wait_seconds,
    )
    logger = get_run_logger()
    costs = []
    with at_work(run):
        for cost in run_stages(run, announce=lambda _: None, stages=cast(tuple[Stage, ...], TASKS)):
            logger.info("%s: %s", cost.stage, cost.did)
            costs.append(cost)
        found = report(run, costs[-1].did)
    _show(found, costs)
    return found, costs


def run_flow(
    path: Path, as_of: date | None, rebuild: bool, dry_run: bool, wait_seconds: int, show: bool
) -> tuple[Report, list[Timing]]:
    """Runs the flow in this process for any business file.

    Args:
        path: the business file.
        as_of: the last day counted; None as for the flow.
        rebuild: read the sources again from the start.
        dry_run: do everything but publish.
        wait_seconds: how long to wait for another run.
        show: tell on the terminal what each stage did.

    Raises:
        RapportError: as the stages do, or the Prefect server does not answer.
    """
    if not re.fullmatch(rf"{NAME}\.yaml", path.name):
        raise ConfigurationError(
            f"{path}: Prefect knows a business by its file's name: letters, digits, - and _, then .yaml. "
            "Nothing was run. Rename the file, or run it without Prefect."
        )
    load(path)  # a mistake in it is told before a server is started
    os.environ[CONFIG_DIRECTORY] = str(path.resolve().parent)
    _quieten(show)
    require_server()
    try:
        return segment_accounts(
            business=path.stem, as_of=as_of, rebuild=rebuild, dry_run=dry_run, wait_seconds=wait_seconds
        )
    except httpx.TransportError as error:
        raise RapportError(
            f"the Prefect server went away during the run ({error}). What was published before that stands. "
            "Repeat the command when the server is back: it says whether there is anything left to do."
        ) from error


def require_server() -> None:
    """Makes sure that the Prefect server answers and lets us in; without an address a temporary one is started.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        with get_client(sync_client=True) as client:
            client.api_version()
    except httpx.HTTPStatusError as error:
        fault = f"it answers {error.response.status_code} {error.response.reason_phrase}"
    except (httpx.TransportError, RuntimeError) as error:  # the second where a temporary one does not start
        fault = str(error)
    else:
        return
    raise ConfigurationError(
        f"Prefect server {os.environ.get('PREFECT_API_URL', '(temporary)')}: {fault}. Nothing was done. "
        "Start it, or correct PREFECT_API_URL or PREFECT_API_AUTH_STRING, or do without Prefect."
    )


def _quieten(show: bool) -> None:
    """Leaves the terminal to the report: Prefect's log goes to its server, and the stages' lines here where asked."""
    stages = logging.StreamHandler(sys.stderr)
    stages.addFilter(lambda record: record.levelno == logging.INFO and not record.msg.startswith("Finished"))
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.INFO)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    if show:
        logging.getLogger("prefect.flow_runs").addHandler(stages)


def _show(found: Report, costs: list[Timing]) -> None:
    """Artifacts for the Prefect UI. The verdicts are published by now: a server that is away does not fail the run."""
    try:
        create_table_artifact(
            [asdict(each) for each in found.segments],
            key="segments",
            description=f"Segments by line, {found.business}, {found.as_of}",
        )
        create_table_artifact(
            [asdict(each) for each in costs], key="stages", description="What each stage did and cost"
        )
        create_markdown_artifact(_markdown(found), key="run", description=found.outcome)
    except httpx.HTTPError as error:
        get_run_logger().warning(
            "the artifacts could not be written (%s); the run is not affected", type(error).__name__
        )


def _markdown(found: Report) -> str:
    reasons = "\n".join(f"- {each.segment}, {each.side}: {each.meaning} ({each.accounts:,})" for each in found.reasons)
    refused = "\n".join(f"- {reason}: {count:,}" for reason, count in found.quarantine.items()) or "- none"
    warnings = "\n".join(f"- {warning}" for warning in found.warnings) or "- none"
    return (
        f"# {found.business}, as of {found.as_of}\n\n{found.outcome}\n\n"
        f"Tables: schema `rapport` in `{found.warehouse}`\n\n"
        f"## Most frequent reasons\n\n{reasons}\n\n## Quarantine\n\n{refused}\n\n## Warnings\n\n{warnings}\n"
    )
