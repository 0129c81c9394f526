"""Runs on the Prefect server: asking for them, waiting for them, and looking at what they show."""

from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.events import Event
from prefect.states import Cancelling, Scheduled

from flows.alerts import silent_runs_crash
from tests.waiting import until


def deployment(client, name: str):
    flow = "backfill-accounts" if name.startswith("backfill") else "segment-accounts"
    return client.read_deployment_by_name(f"{flow}/{name}")


def started(client, name: str, **parameters: object) -> UUID:
    """A run of a deployment, for the worker to take up."""
    wanted = deployment(client, name).id
    return client.create_flow_run_from_deployment(wanted, parameters=parameters, state=Scheduled()).id


def ended(client, run_id: UUID):
    """The run when it has come to its end."""

    def look():
        found = client.read_flow_run(run_id)
        return found if found.state and found.state.is_final() else None

    return until(look, f"the end of run {run_id}")


def artifacts(client, run_id: UUID):
    """The artifacts of a run, by key."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    return {str(each.key): each for each in client.read_artifacts(artifact_filter=mine)}


def at_stage(client, run_id: UUID, stage: str) -> None:
    """Waits until the progress bar of a run says that it is at a stage."""

    def look() -> bool:
        bar = artifacts(client, run_id).get("progress")
        return bar is not None and bar.description == stage

    until(look, f"run {run_id} to come to {stage}")


def cancel(client, run_id: UUID) -> None:
    """Asks for the end of a run, as the UI does."""
    client.set_flow_run_state(run_id, Cancelling())


def run_named(client, name: str):
    (found,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=name)))
    return found


def hurry(client, automation: str) -> None:
    """Lets an automation wait for ten seconds, the least that Prefect allows, where it would wait for hours."""
    (found,) = client.read_automations_by_name(automation)
    core = AutomationCore.model_validate(found.model_dump(exclude={"id", "owner_resource"}))
    trigger = core.trigger.model_copy(update={"within": timedelta(seconds=10)})
    client.update_automation(found.id, core.model_copy(update={"trigger": trigger}))


def notice_silence(client, run_id: UUID) -> None:
    """Makes the automation against silence anew, for one run and ten seconds, and has that give a last sign of life."""
    core = silent_runs_crash(["segment-accounts"])
    alone = {"match": {"prefect.resource.id": f"prefect.flow-run.{run_id}"}, "within": timedelta(seconds=10)}
    trigger = core.trigger.model_copy(update=alone)
    client.create_automation(core.model_copy(update={"name": f"silence of {run_id}", "trigger": trigger}))
    flow = client.read_flow(client.read_flow_run(run_id).flow_id)
    event = Event(
        event="prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{run_id}"},
        related=[
            {
                "prefect.resource.id": f"prefect.flow.{flow.id}",
                "prefect.resource.role": "flow",
                "prefect.resource.name": flow.name,
            }
        ],
    )
    client.request("POST", "/events", json=[event.model_dump(mode="json")])
