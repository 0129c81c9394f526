"""What is lost when something is: a flow's process, a worker, the server's database for a while, an hour in spring."""

import sqlite3
import threading
from contextlib import closing
from datetime import date, datetime
from zoneinfo import ZoneInfo

import anyio
import pytest
from prefect.client.schemas.objects import StateType
from prefect.flow_engine import run_flow
from prefect.server.schemas.schedules import CronSchedule
from prefect.states import Scheduled

from flows.nightly import segment_accounts
from flows.warehouse import live
from tests.end_to_end.runs import artifacts, ended, notice_silence, run_named

LOCKED_SECONDS = 5
NEW_YORK = ZoneInfo("America/New_York")


def test_a_killed_run_is_marked_crashed_and_the_next_one_goes_on(served, client, meanwhile):
    meanwhile.cancelled.result()
    killed, next_one = ended(client, meanwhile.killed), ended(client, meanwhile.large)
    assert killed.state.type == StateType.CRASHED
    assert "status code: -9" in killed.state.message, "the worker told it, at once, not its silence after minutes"
    assert next_one.start_time > killed.end_time
    assert "Run large up to" not in str(served.channel.messages), "that business has no channel"


def test_a_run_whose_worker_was_killed_with_it_is_marked_crashed_by_its_silence(served, client, meanwhile):
    run_id = meanwhile.without_its_worker.result()
    assert client.read_flow_run(run_id).state.name == "Running"
    notice_silence(client, run_id)
    run = ended(client, run_id)
    assert run.state.type == StateType.CRASHED
    assert run.state.message == "There was no sign of life from it for five minutes."
    told = served.channel.told("the run crashed", about=run.name)
    assert told.startswith(f"Run {run.name} crashed. The tables of the last run stand.")


def test_a_database_that_is_locked_for_a_while_delays_a_run_and_no_more(served, client, at_the_firm):
    with closing(sqlite3.connect(served.database, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        threading.Timer(LOCKED_SECONDS, other.execute, ["rollback"]).start()
        segment_accounts(business="firm", as_of=date(2026, 2, 23))
    assert run_named(client, "firm up to 2026-02-23").state.name == "Completed"
    ledger = live(at_the_firm.parent / "warehouse.duckdb")
    assert ledger
    assert ledger["as_of"] == date(2026, 2, 23)


@pytest.mark.parametrize("first", [date(2026, 3, 6), date(2026, 10, 30)], ids=["spring", "autumn"])
def test_the_night_comes_once_a_day_when_clocks_change(first):
    schedule = CronSchedule(cron="30 3 * * *", timezone="America/New_York")
    start = datetime(first.year, first.month, first.day, tzinfo=NEW_YORK)
    due = [each.astimezone(NEW_YORK) for each in anyio.run(schedule.get_dates, 4, start)]
    assert [(each.day - first.day) % 31 for each in due] == [0, 1, 2, 3]
    assert {(each.hour, each.minute) for each in due} == {(3, 30)}


@pytest.mark.parametrize(
    ("due", "as_of"),
    [
        (datetime(2026, 3, 8, 7, 30, tzinfo=ZoneInfo("UTC")), date(2026, 3, 7)),
        (datetime(2026, 11, 1, 8, 30, tzinfo=ZoneInfo("UTC")), date(2026, 10, 31)),
    ],
    ids=["spring", "autumn"],
)
def test_a_night_when_clocks_change_counts_up_to_the_day_before(client, at_the_firm, due, as_of):
    at_the_firm.write_text(at_the_firm.read_text().replace("Asia/Tokyo", "America/New_York"))
    run = client.create_flow_run(
        segment_accounts, parameters={"business": "firm", "dry_run": True}, state=Scheduled(scheduled_time=due)
    )
    run_flow(segment_accounts, flow_run=client.read_flow_run(run.id), parameters=run.parameters)
    assert f"Small firm, {as_of};" in artifacts(client, run.id)["segments"].description


def test_a_server_with_a_password_lets_nobody_in_without_it(meanwhile):
    lines, without, with_it = meanwhile.with_a_password.result()
    assert any(line.startswith("Deployments: nightly, ad-hoc") for line in lines)
    assert (without, with_it) == (401, 200)
