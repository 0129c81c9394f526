"""The flow: the stages of a run as Prefect tasks, for the nightly schedule, the Prefect UI and `rapport run`."""

import atexit
import logging
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import deployment, flow_run

from config.errors import Busy, ConfigurationError, RapportError, SourceError, WarehouseError
from config.settings import Business, load
from flows.artifacts import advance_progress, begin_progress, show_report, show_work
from flows.backfill import Every, new_backfill, replay
from flows.events import stale_sources, tell_published, tell_stale, tell_stopped
from flows.form import NAME, BusinessName, Day, Moment, Reason, WaitSeconds
from flows.report import Report, report
from flows.resume import owned, sealed_before
from flows.runs import CONFIG_DIRECTORY, EXAMPLE, Timing, at_work, business_file, new_run, run_stages
from flows.stages import (
    STAGES,
    Run,
    Stage,
    audit_outgoing,
    extract,
    judge,
    models,
    publish,
    publish_sealed,
    tidy,
)
from flows.stopping import stoppable

RETRIED = (extract, models, judge, audit_outgoing, publish, publish_sealed)
"""The stages that ask a source or the warehouse."""
RETRY_AFTER_SECONDS = [30.0, 120.0]

# when the interpreter ends, DuckDB's binding lists on stderr what Prefect's threads still hold: of no use to anybody
atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)


def may_pass_later(_task: object, _run: TaskRun, state: State) -> bool:
    """Whether a failed stage is tried again: a source or a warehouse may come back, and nobody waits for the answer.

    A person who started the run with `rapport run` hears of the failure at once.
    """
    if deployment.id is None:
        return False
    return isinstance(state.result(raise_on_failure=False), Busy | SourceError | WarehouseError | OSError)


def _as_task(stage: Stage) -> Task[[Run], str]:
    stops = stoppable()(stage)
    # what a stage makes lies in the run's folder: there is nothing to cache, and no reason to hash a run
    if stage not in RETRIED:
        return task(cache_policy=NO_CACHE)(stops)
    return task(
        cache_policy=NO_CACHE,
        retries=len(RETRY_AFTER_SECONDS),
        retry_delay_seconds=RETRY_AFTER_SECONDS,
        retry_jitter_factor=0.5,
        retry_condition_fn=may_pass_later,
    )(stops)


TASKS = tuple(_as_task(stage) for stage in STAGES)
TASKS_OF_A_SEALED_RUN = (_as_task(publish_sealed),)


def _run_name() -> str:
    given = flow_run.parameters
    if given["as_of"]:
        return f"{given['business']} up to {given['as_of']}"
    return f"{given['business']}, due {flow_run.scheduled_start_time:%Y-%m-%d %H:%M} UTC"


@flow(name="segment-accounts", flow_run_name=_run_name)
def segment_accounts(
    business: BusinessName = EXAMPLE,
    as_of: Day | None = None,
    known_at: Moment | None = None,
    rebuild: bool = False,
    dry_run: bool = False,
    accept_change: Reason = "",
    wait_seconds: WaitSeconds = 600,
) -> tuple[Report, list[Timing]]:
    """Decides which accounts are clients and which are customers, and publishes the verdict.

    Reads the sources of a business, computes the relationship of each account as of a day, holds the result against the
    audits, and makes it visible in the warehouse all at once. Running a day again changes nothing.

    Args:
        business: The business: one of the files in the configuration directory, without `.yaml`.
        as_of: The last day counted, inclusive, in the business's time zone. Left empty, the day that the business file
            names, else the day before the run was due, however late it starts.
        known_at: Count only what had reached the pipeline by then; without a zone, a time of the business's. Left empty,
            all that has arrived.
        rebuild: Read the sources again from the start, whatever was read before.
        dry_run: Do everything but publish.
        accept_change: Why more accounts than the gate allows may change their segment this time. Left empty, such a run
            is held.
        wait_seconds: How long to wait for another run of the same business, in seconds.
    """
    try:
        configuration = load(business_file(business))
        run = _run(configuration, as_of, known_at, rebuild, dry_run, accept_change or None, wait_seconds)
        costs: list[Timing] = []
        with at_work(run):
            earlier = sealed_before(run)
            run = earlier or run
            if earlier:
                get_run_logger().info("run %s was sealed by an earlier attempt: it is published as it is", run.run_id)
            try:
                for cost in _timed(run, TASKS_OF_A_SEALED_RUN if earlier else TASKS):
                    costs.append(cost)
                stale = stale_sources(run)
                found = report(run, costs[-1].did)
            finally:
                show_work(run, costs)
            if earlier:
                tidy(run)
    except Exception as error:
        tell_stopped(business, error)
        raise
    show_report(replace(found, warnings=(*found.warnings, *stale)))
    tell_stale(business, stale)
    if not dry_run:
        tell_published(found, business)
    return found, costs


def _run(
    configuration: Business,
    as_of: date | None,
    known_at: datetime | None,
    rebuild: bool,
    dry_run: bool,
    accept_change: str | None,
    wait_seconds: int,
) -> Run:
    """The run that was asked for, up to the day before it was due where no day is given."""
    zone = ZoneInfo(configuration.timezone)
    due_on = flow_run.scheduled_start_time.astimezone(zone).date()
    run = new_run(
        configuration,
        as_of=as_of or configuration.as_of or due_on - timedelta(days=1),
        known_at=_in_zone(known_at, configuration),
        rebuild=rebuild,
        dry_run=dry_run,
        wait_seconds=wait_seconds,
        accept_change=accept_change,
    )
    return owned(run, flow_run.id)


def _in_zone(moment: datetime | None, configuration: Business) -> datetime | None:
    """A moment of the form: without a zone it is a time of the business's."""
    if moment is None or moment.tzinfo:
        return moment
    return moment.replace(tzinfo=ZoneInfo(configuration.timezone))


def _backfill_name() -> str:
    given = flow_run.parameters
    return f"{given['business']} from {given['since']} until {given['until']}"


@flow(name="backfill-accounts", flow_run_name=_backfill_name)
def backfill_accounts(
    since: Day,
    until: Day,
    business: BusinessName = EXAMPLE,
    every: Every = "day",
    known_at: Moment | None = None,
    accept_change: Reason = "",
    wait_seconds: WaitSeconds = 600,
) -> int:
    """Replays days of the past, one after the other, as if each had been a night.

    The sources are read once. Days published after the first one are replayed too. Nothing is visible before the last day is
    done; then all is, at once. Running it again changes nothing.

    Args:
        since: The first day.
        until: The last day at most.
        business: The business: one of the files in the configuration directory, without `.yaml`.
        every: The step from one day to the next.
        known_at: Count only what had reached the pipeline by then, for the days asked for; without a zone, a time of the
            business's. Left empty, all that has arrived.
        accept_change: Why more accounts than the gate allows may have another segment in the end. Left empty, such a
            backfill is held.
        wait_seconds: How long to wait for another run of the same business, in seconds.
    """
    try:
        configuration = load(business_file(business))
        started = new_backfill(
            configuration,
            since,
            until,
            every,
            known_at=_in_zone(known_at, configuration),
            accept_change=accept_change or None,
            wait_seconds=wait_seconds,
        )
        bar, days = begin_progress(), len(started.days)
        for done, each in enumerate(replay(started, cast(tuple[Stage, ...], TASKS)), start=1):
            get_run_logger().info("%s: %s", each.as_of, each.costs[-1].did)
            bar = advance_progress(bar, done / days, f"{each.as_of}")
    except Exception as error:
        tell_stopped(business, error)
        raise
    return days


def _timed(run: Run, tasks: tuple[Task[[Run], str], ...]) -> Iterator[Timing]:
    """Runs the tasks, with a progress bar in the UI and a line in the log on what each did."""
    bar = begin_progress()
    done = 0

    def announce(stage: Stage) -> None:
        nonlocal bar
        bar = advance_progress(bar, done / len(tasks), stage.__name__.replace("_", " "))

    for cost in run_stages(run, announce, stages=cast(tuple[Stage, ...], tasks)):
        get_run_logger().info("%s: %s", cost.stage, cost.did)
        done += 1
        yield cost
    advance_progress(bar, 1, "all done")


def run_flow(path: Path, show: bool, **parameters: Any) -> tuple[Report, list[Timing]]:
    """Runs the flow in this process for any business file.

    Args:
        path: the business file.
        show: tell on the terminal what each stage did.
        **parameters: those of the flow but the business.

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
        return segment_accounts(business=path.stem, **parameters)
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
