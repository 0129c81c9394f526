"""Registering deployments with the Prefect server: what it makes of what `prefect.yaml` asks for."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import EntrypointType, load_flow_from_entrypoint
from prefect.schedules import Cron
from prefect.utilities.schema_tools import ValidationError, validate
from prefect.workers.process import ProcessWorker

from config.errors import ConfigurationError
from config.nearest import did_you_mean
from config.settings import load
from flows.alerts import alerts_of, ensure, silent_runs_crash
from flows.deployments import POOL, Deployment, Entrypoint
from flows.nightly import require_server
from flows.runs import business_file


def register(chosen: Sequence[Deployment]) -> list[str]:
    """Registers deployments with the Prefect server, with the work pool and the automations.

    A schedule that was switched off in the UI stays off, unless `prefect.yaml` says whether it counts.

    Args:
        chosen: the deployments.

    Returns:
        A sentence on each that does not run by itself though it has a schedule, and on each that the server still has
        though `prefect.yaml` no longer names it.

    Raises:
        ConfigurationError: the server does not answer, a parameter is none of the flow's, or cron knows no such hour.
    """
    for each in chosen:
        _refuse_wrong_parameters(each)
        _refuse_wrong_hours(each)
    require_server()
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        ensure(client, silent_runs_crash([load_flow_from_entrypoint(each).name for each in get_args(Entrypoint)]))
        for name in sorted({each.business for each in chosen}):
            alerts_of(client, load(business_file(name)), [each for each in chosen if each.business == name])
        return [note for each in chosen for note in _register(client, each)] + _left_over(client, chosen)


def _refuse_wrong_parameters(each: Deployment) -> None:
    """Holds the parameters to the form of the flow, as the server does when a run is asked for."""
    form = load_flow_from_entrypoint(each.entrypoint).parameters.model_dump()
    where = f"prefect.yaml: parameters of the deployment {each.name}"
    for name in each.parameters:
        if name not in form["properties"]:
            known = ", ".join(form["properties"])
            raise ConfigurationError(
                f"{where}: there is no {name}.{did_you_mean(name, form['properties'])} There are {known}."
            )
    try:
        validate(each.parameters, form, raise_on_error=True, ignore_required=True)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {error}.") from error


def _refuse_wrong_hours(each: Deployment) -> None:

    for schedule in each.schedules:
        try:
            Cron(schedule.cron)
        except ValueError as error:
            raise ConfigurationError(f"prefect.yaml: schedules of the deployment {each.name}: {error}.") from error


def _register(client: SyncPrefectClient, each: Deployment) -> list[str]:
    """Registers a deployment, as much of it switched off as was, and says what of it does not run by itself."""
    flow = load_flow_from_entrypoint(each.entrypoint)
    off, paused = set(), False
    with suppress(ObjectNotFound):
        present = client.read_deployment_by_name(f"{flow.name}/{each.name}")
        off = {getattr(known.schedule, "cron", None) for known in present.schedules if not known.active}
        paused = present.paused and not any(wanted.active for wanted in each.schedules)
    schedules = [
        Cron(
            wanted.cron,
            timezone=wanted.timezone,
            active=wanted.cron not in off if wanted.active is None else wanted.active,
        )
        for wanted in each.schedules
    ]
    RunnerDeployment.from_flow(
        flow,
        each.name,
        description=each.description,
        tags=each.tags,
        parameters=each.parameters,
        schedules=schedules,
        paused=paused,
        work_pool_name=POOL,
        # a command of its own, so that Prefect starts no process more to look for the flow, and none to look for its hooks
        job_variables={"working_dir": str(Path.cwd()), "command": f"{sys.executable} -m prefect.engine"},
        entrypoint_type=EntrypointType.MODULE_PATH,
    ).apply()
    return [
        f"{each.name} is switched off: it does not run by itself at {schedule.cron}."
        for schedule in schedules
        if paused or not schedule.active
    ]


def _left_over(client: SyncPrefectClient, chosen: Sequence[Deployment]) -> list[str]:
    """Tells of the deployments that were registered from this directory before, and are not any more."""
    ours = client.read_deployments(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])))
    here, names = str(Path.cwd()), {each.name for each in chosen}
    return [
        f"{each.name} is on the server and no longer in prefect.yaml: delete it in the UI, or it goes on."
        for each in ours
        if each.name not in names and each.job_variables.get("working_dir") == here
    ]
