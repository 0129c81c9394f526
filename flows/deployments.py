"""The deployments: what `prefect.yaml` asks for, and what the Prefect server makes of it.

Prefect reads its settings from the environment when it is imported, so `deployments`, which is asked before they are
there, does without it.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field

from config.documents import Strict, checked, read, sentences
from config.errors import ConfigurationError
from config.nearest import did_you_mean
from config.settings import load
from flows.runs import EXAMPLE, business_file

BUNDLED = Path(str(files("flows").joinpath("prefect.yaml")))
POOL = "rapport"
Entrypoint = Literal["flows.nightly.segment_accounts", "flows.nightly.backfill_accounts"]


class Schedule(Strict):
    """When a deployment runs by itself."""

    cron: str = Field(
        pattern=r"^\S+( +\S+){4}$", description="when it is due, in the five fields of cron, such as 30 3 * * *"
    )
    timezone: str = Field(default="UTC", description="for Prefect's own command; here it is the business's")
    active: bool | None = Field(
        default=None, description="whether it counts; left out, as it was left in the UI, at first true"
    )


class WorkPool(Strict):
    """Where the runs are taken up."""

    model_config = ConfigDict(extra="ignore")

    name: Literal["rapport"] = Field(description="the pool in which the worker looks")


class Deployment(Strict):
    """A flow with what it is run with, and when."""

    name: str = Field(pattern="^[^/%&<>]+$", description="what it is called in the UI, without / % & < >")
    entrypoint: Entrypoint = Field(description="the flow")
    description: str | None = Field(default=None, description="what the UI says of it")
    tags: list[str] = Field(default=[], description="of each of its runs")
    parameters: dict[str, Any] = Field(default={}, description="of the flow; what is left out is what its form shows")
    schedules: list[Schedule] = Field(default=[], description="when it runs by itself")
    work_pool: WorkPool | None = Field(default=None, description="for Prefect's own command")

    @property
    def business(self) -> str:
        """The name of its business."""
        return self.parameters["business"]


class Deployments(Strict):
    """A `prefect.yaml`; what else stands in it is for Prefect's own command."""

    model_config = ConfigDict(extra="ignore")

    deployments: list[Deployment] = Field(min_length=1, description="what the server offers to run")


def deployments(config: Path | None) -> list[Deployment]:
    """The deployments of `prefect.yaml`, the working directory's before the bundled one, each in its business's zone.

    Args:
        config: the business file for all of them; without it, those that they name.

    Raises:
        ConfigurationError: the file, or a business file, is wrong.
    """
    here = Path("prefect.yaml")
    document = read(here if here.exists() else BUNDLED)
    written, faults = checked(document, Deployments)
    if written is None or faults:
        raise ConfigurationError("\n".join(sentences(document, faults)))
    names = [each.name for each in written.deployments]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"{document.path}: more than one deployment is called {', '.join(repeated)}. Give each a name of its own."
        )
    return [_of_its_business(each, config) for each in written.deployments]


def _of_its_business(written: Deployment, config: Path | None) -> Deployment:
    given = {"business": EXAMPLE} | written.parameters
    parameters = given | {"business": config.stem} if config else given
    zone = load(business_file(str(parameters["business"]))).timezone
    schedules = [each.model_copy(update={"timezone": zone}) for each in written.schedules]
    return written.model_copy(update={"parameters": parameters, "schedules": schedules})


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
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.flows import load_flow_from_entrypoint
    from prefect.workers.process import ProcessWorker

    from flows.alerts import alerts_of, ensure, silent_runs_crash
    from flows.nightly import require_server

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
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.schema_tools import ValidationError, validate

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
    from prefect.schedules import Cron

    for schedule in each.schedules:
        try:
            Cron(schedule.cron)
        except ValueError as error:
            raise ConfigurationError(f"prefect.yaml: schedules of the deployment {each.name}: {error}.") from error


def _register(client: Any, each: Deployment) -> list[str]:
    """Registers a deployment, as much of it switched off as was, and says what of it does not run by itself."""
    from prefect.deployments.runner import RunnerDeployment
    from prefect.exceptions import ObjectNotFound
    from prefect.flows import EntrypointType, load_flow_from_entrypoint
    from prefect.schedules import Cron

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


def _left_over(client: Any, chosen: Sequence[Deployment]) -> list[str]:
    """Tells of the deployments that were registered from this directory before, and are not any more."""
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    ours = client.read_deployments(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])))
    here, names = str(Path.cwd()), {each.name for each in chosen}
    return [
        f"{each.name} is on the server and no longer in prefect.yaml: delete it in the UI, or it goes on."
        for each in ours
        if each.name not in names and each.job_variables.get("working_dir") == here
    ]
