"""What a run tells the Prefect server, and who hears of it: on a real server, with a channel that takes notifications."""

from datetime import date, timedelta

import pytest

from config.errors import ChangeHeld, GateRefused
from config.settings import load
from flows.alerts import time_to_publish
from flows.deployments import Schedule
from flows.nightly import segment_accounts
from flows.runs import at_work, new_run, run_stages
from tests.end_to_end.runs import ended
from tests.end_to_end.serving import ACCOUNTS, small_firm
from tests.waiting import until


def events_of(client, name: str) -> list[dict]:
    """The events of a name, newest first."""
    asked = {"filter": {"event": {"name": [name]}}}
    return client.request("POST", "/events/filter", json=asked).json()["events"]


def test_a_publication_is_told_with_its_day_and_its_deployment(client, meanwhile):
    ended(client, meanwhile.form)

    def look() -> dict | None:
        return next(
            (each for each in events_of(client, "rapport.published") if "2026-01-31" in each["payload"]["message"]),
            None,
        )

    event = until(look, "the event")
    assert event["payload"]["message"] == "Small firm, as of 2026-01-31: 24 verdicts are live in warehouse.duckdb."
    assert event["resource"]["prefect.resource.id"] == "rapport.business.firm"
    roles = {each["prefect.resource.role"]: each["prefect.resource.name"] for each in event["related"]}
    assert roles["deployment"] == "ad-hoc"


def test_a_refused_night_is_told_to_the_channel_with_the_number_that_broke_the_limit(served, client, at_the_firm):
    small_firm(at_the_firm.parent, unfit_orders=9)
    with pytest.raises(GateRefused):
        segment_accounts(business="firm", as_of=date(2026, 2, 24))
    told = served.channel.told("Rapport, Small firm: rapport.gate-failed")
    assert "amount is missing in 9 of 122 checked rows (7.38%); the limit is 1%." in told


def test_a_source_that_brings_nothing_new_is_told(served, client, at_the_firm):
    at_the_firm.write_text(at_the_firm.read_text() + "alerts: {stale_days: 30}\n")
    at_the_firm.with_name("mail.csv").write_text("id,account,at,direction\n")
    segment_accounts(business="firm", as_of=date(2026, 4, 30), dry_run=True)
    told = served.channel.told("rapport.source-stale")
    assert told == (
        "source ledger: its newest row is of 2026-02-23, over 30 days before 2026-04-30. See why it brings nothing. "
        "source mail: it has no row that counts. See why it brings nothing."
    )


def test_a_night_that_published_nothing_by_its_hour_is_told(served, client, meanwhile):
    ended(client, meanwhile.day)
    told = served.channel.told("Rapport, Small firm: nothing was published by 07:00")
    assert told.startswith("The deployment nightly has not published by 07:00.")


def test_a_run_that_ends_before_it_begins_is_told(served, client, meanwhile):
    day = ended(client, meanwhile.day)
    told = served.channel.told("Rapport, Small firm: a run did not begin", day.name)
    assert told == (
        f"Run {day.name} of the deployment nightly ended before it began. The tables of the last run stand. "
        "See in the Prefect UI what it says."
    )


def test_a_run_that_began_is_not_told_as_one_that_did_not(served, client, meanwhile):
    killed = f"prefect.flow-run.{ended(client, meanwhile.killed).id}"

    def look() -> bool:
        crashed = events_of(client, "prefect.flow-run.Crashed")
        return any(each["resource"]["prefect.resource.id"] == killed for each in crashed)

    until(look, "the event")
    served.channel.told("a run did not begin")
    said = [each["message"] for each in served.channel.messages if "did not begin" in each["title"]]
    assert not any("large up to" in each for each in said)


@pytest.mark.parametrize(
    ("cron", "published_by", "wait"),
    [("30 3 * * *", "07:00", 3.5), ("30 22 * * *", "07:00", 8.5), ("0 7 * * *", "07:00", 24)],
)
def test_the_time_to_publish_is_counted_from_when_the_night_is_due(cron, published_by, wait):
    schedule = Schedule(cron=cron, timezone="America/New_York")
    assert time_to_publish(schedule, published_by) == timedelta(hours=wait)


def test_a_held_night_is_told_to_the_channel_with_the_change_beyond_the_limit(served, client, at_the_firm):
    run = new_run(load(at_the_firm), as_of=date(2026, 2, 18))
    with at_work(run):
        list(run_stages(run, announce=lambda _: None))
    orders = at_the_firm.with_name("orders.csv")
    gone = tuple(f",A{number}," for number in range(6, ACCOUNTS))
    left = [line for line in orders.read_text().splitlines() if not any(account in line for account in gone)]
    orders.write_text("\n".join([*left, ""]))
    with pytest.raises(ChangeHeld):
        segment_accounts(business="firm", as_of=date(2026, 2, 19))
    told = served.channel.told("Rapport, Small firm: rapport.held")
    assert "6 of 12 accounts (50.00%) would change segment" in told
