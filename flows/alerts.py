"""Who hears of what: the automations of the Prefect server that notify a business's channel."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from prefect.automations import AutomationCore
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.server.schemas.schedules import CronSchedule

from config.connections import SecretReference, secret_value
from config.errors import ConfigurationError
from config.settings import Business
from flows.deployments import Deployment, Schedule
from flows.events import FAILED, GATE_FAILED, HELD, PUBLISHED, SOURCE_STALE, resource_of

SILENCE = "rapport: a run without a heartbeat has crashed"
SILENCE_LASTS = timedelta(minutes=5)
ENDS = ("Completed", "Failed", "Crashed", "Cancelled")
BEGINS = ("Late", "Pending")


def silent_runs_crash(flows: Sequence[str]) -> AutomationCore:
    """A run whose worker was ended stays `Running` for ever, unless somebody notices its silence."""
    return AutomationCore(
        name=SILENCE,
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(flows)},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE_LASTS,
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message="There was no sign of life from it for five minutes.")
        ],
    )


def alerts_of(client: SyncPrefectClient, business: Business, deployments: Sequence[Deployment]) -> None:
    """Makes a business's automations as its file says now; those that it no longer says are taken away.

    Args:
        client: of the server.
        business: the business.
        deployments: its deployments.
    """
    notify = business.alerts.notify
    wanted = _alerts(business, _channel(business.name, notify), deployments) if notify else []
    known = {_stopped(business), _crashed(business), _not_begun(business), _missed(business)}
    for name in known - {each.name for each in wanted}:
        for present in client.read_automations_by_name(name):
            client.delete_automation(present.id)
    for each in wanted:
        ensure(client, each)


def ensure(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Makes an automation, or changes the one of its name; one that is as wanted is not touched, and counts on."""
    for present in client.read_automations_by_name(wanted.name):
        if present.model_dump(include=set(AutomationCore.model_fields)) != wanted.model_dump():
            client.update_automation(present.id, wanted)
        return
    client.create_automation(wanted)


def _alerts(business: Business, channel: Any, deployments: Sequence[Deployment]) -> list[AutomationCore]:
    by = business.alerts.published_by
    nightly = next((each for each in deployments if each.schedules), None)
    missed = [_night_is_missed(business, channel, nightly, by)] if nightly and by else []
    names = [each.name for each in deployments]
    return [
        _run_is_stopped(business, channel),
        _run_crashes(business, channel),
        _run_does_not_begin(business, channel, names),
        *missed,
    ]


def _run_is_stopped(business: Business, channel: Any) -> AutomationCore:
    return AutomationCore(
        name=_stopped(business),
        trigger=EventTrigger(
            match={"prefect.resource.id": resource_of(business.name)},
            expect={HELD, GATE_FAILED, FAILED, SOURCE_STALE},
        ),
        actions=[_notification(channel, business, "{{ event.event }}", "{{ event.payload.message }}")],
    )


def _run_crashes(business: Business, channel: Any) -> AutomationCore:
    """Known by its name: of a run that crashed Prefect itself tells, which knows no businesses."""
    said = "Run {{ flow_run.name }} crashed. The tables of the last run stand. Retry it in the Prefect UI."
    names = [f"{business.name}{rest} *" for rest in (" up to", ", due", " from")]
    return AutomationCore(
        name=_crashed(business),
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*", "prefect.resource.name": names},
            expect={"prefect.flow-run.Crashed"},
        ),
        actions=[_notification(channel, business, "the run crashed", said)],
    )


def _run_does_not_begin(business: Business, channel: Any, deployments: Sequence[str]) -> AutomationCore:
    """Known by its deployment: it still has the name that Prefect gives, one word, where ours have several."""
    said = (
        "Run {{ flow_run.name }} of the deployment {{ deployment.name }} ended before it began. The tables of the last run "
        "stand. See in the Prefect UI what it says."
    )
    return AutomationCore(
        name=_not_begun(business),
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*", "prefect.resource.name": "!* *"},
            match_related={"prefect.resource.role": "deployment", "prefect.resource.name": list(deployments)},
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        ),
        actions=[_notification(channel, business, "a run did not begin", said)],
    )


def _night_is_missed(business: Business, channel: Any, nightly: Deployment, by: str) -> AutomationCore:
    said = (
        f"The deployment {nightly.name} has not published by {by}. The tables of the last run stand. "
        "See its runs in the Prefect UI."
    )
    return AutomationCore(
        name=_missed(business),
        trigger=EventTrigger(
            match_related={"prefect.resource.role": "deployment", "prefect.resource.name": nightly.name},
            after={f"prefect.flow-run.{begin}" for begin in BEGINS},
            expect={PUBLISHED},
            for_each={"related:deployment:prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=time_to_publish(nightly.schedules[0], by),
        ),
        actions=[_notification(channel, business, f"nothing was published by {by}", said)],
    )


def time_to_publish(schedule: Schedule, published_by: str) -> timedelta:
    """How long after a night is due its publication must be there; on a night that clocks change an hour more or less."""
    zone = ZoneInfo(schedule.timezone)
    (due,) = asyncio.run(CronSchedule(cron=schedule.cron, timezone=schedule.timezone).get_dates(n=1))
    due = due.astimezone(zone).replace(tzinfo=None)
    deadline = datetime.combine(due, time.fromisoformat(published_by))
    return (deadline if deadline > due else deadline + timedelta(days=1)) - due


def _channel(name: str, address: SecretReference) -> Any:
    """The id of the block that holds the channel's address, which apprise understands, whatever the service."""
    try:
        block = SlackWebhook(url=secret_value(address))  # it hands any address but Slack's own to apprise as it is
    except ConfigurationError as error:
        raise ConfigurationError(f"alerts.notify: {error} Nothing was registered.") from None
    return block.save(f"rapport-{name.lower().replace('_', '-')}", overwrite=True)


def _notification(channel: Any, business: Business, subject: str, body: str) -> SendNotification:
    return SendNotification(block_document_id=channel, subject=f"Rapport, {business.business}: {subject}", body=body)


def _stopped(business: Business) -> str:
    return f"rapport: {business.name}, a run that was stopped and a source that is stale"


def _crashed(business: Business) -> str:
    return f"rapport: {business.name}, a run that crashed"


def _not_begun(business: Business) -> str:
    return f"rapport: {business.name}, a run that did not begin"


def _missed(business: Business) -> str:
    return f"rapport: {business.name}, a night that was not published"
