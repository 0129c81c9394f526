"""Runs that are tried again, and runs that are made to stop."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, Scheduled

from config.errors import Busy
from config.settings import load
from flows.lock import held
from flows.nightly import segment_accounts
from flows.resume import owned
from flows.runs import at_work, new_run, run_stages
from flows.warehouse import live
from tests.end_to_end.runs import artifacts, ended

DAY = date(2026, 2, 20)
PREFECT_KILLS_SECONDS = 30  # on a machine with nothing else to do it stops within 10


def attempt(client, run_id) -> None:
    run = client.read_flow_run(run_id)
    run_flow(segment_accounts, flow_run=run, parameters=run.parameters)


def stages_of(client, run_id) -> list[str]:
    runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])))
    return [run.name.rsplit("-", 1)[0] for run in sorted(runs, key=lambda run: run.start_time)]


@pytest.fixture
def sealed(client, at_the_firm):
    """The id of a flow run that sealed its package, and found another publisher at the warehouse."""
    parameters = {"business": "firm", "as_of": DAY.isoformat(), "wait_seconds": 0}
    run = client.create_flow_run(segment_accounts, parameters=parameters, state=Scheduled())
    with held(Path("warehouse.duckdb.lock"), "the warehouse", "another", datetime.now(UTC)), pytest.raises(Busy):
        attempt(client, run.id)
    assert live(Path("warehouse.duckdb")) is None
    client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
    return run.id


def test_a_retried_run_publishes_what_it_sealed_without_computing_it_again(client, sealed):
    (folder,) = Path("state/runs").iterdir()
    Path("orders.csv").unlink()
    attempt(client, sealed)
    assert client.read_flow_run(sealed).state.name == "Completed"
    ledger = live(Path("warehouse.duckdb"))
    assert ledger
    assert (ledger["run_id"], ledger["as_of"]) == (folder.name, DAY)
    assert stages_of(client, sealed)[-2:] == ["publish", "publish_sealed"]
    assert {path.name for path in folder.iterdir()} == {"models.json", "package", "published"}
    assert {"segments", "audits", "published"} <= artifacts(client, sealed).keys()


@pytest.mark.parametrize("change", ["the configuration", "the package", "a later run of the day"])
def test_a_retried_run_computes_again_what_no_longer_fits(client, sealed, change):
    (folder,) = Path("state/runs").iterdir()
    if change == "the configuration":
        text = Path("firm.yaml").read_text()
        Path("firm.yaml").write_text(text.replace("quarantined_share: 0.01", "quarantined_share: 0.02"))
    elif change == "a later run of the day":
        run = new_run(load(Path("firm.yaml")), as_of=DAY)
        with at_work(run):
            list(run_stages(run, announce=lambda _: None))
    else:
        with (folder / "package/account_segments.parquet").open("r+b") as file:
            file.write(b"XXXX")
    attempt(client, sealed)
    ledger = live(Path("warehouse.duckdb"))
    assert ledger
    assert ledger["run_id"] != folder.name
    assert stages_of(client, sealed)[-1] == "publish"


@pytest.mark.usefixtures("at_the_firm")
def test_flow_runs_that_were_scheduled_together_find_no_attempt_of_each_other():
    ids = ("01a21d25-3f6c-7a01-8000-5b1e2c3d4e5f", "01a21d25-3f6c-7a02-8000-6c2f3d4e5f60")
    one, other = (owned(new_run(load(Path("firm.yaml")), as_of=DAY), each).run_id.rpartition("-")[2] for each in ids)
    assert one != other


def test_a_cancelled_run_stops_of_itself_and_leaves_the_old_table(served, client, meanwhile):
    seconds = meanwhile.cancelled.result()
    run = ended(client, meanwhile.large)
    assert run.state.name == "Cancelled", run.state.message
    assert seconds < PREFECT_KILLS_SECONDS
    ledger = live(served.folder / "warehouse.duckdb")
    assert ledger
    assert ledger["as_of"] == date(2026, 1, 31)
