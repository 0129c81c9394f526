"""What takes its time goes on beside the tests, from the first one that needs any of it."""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import EntrypointType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.workers.process import ProcessWorker

from flows.lock import held
from flows.nightly import segment_accounts
from tests.end_to_end.runs import at_stage, cancel, ended, hurry, started
from tests.end_to_end.serving import Running, at_work, forwarder, rapport, small_firm
from tests.waiting import WAIT_SECONDS, until

MISSED = "rapport: firm, a night that was not published"


def without_its_server(folder: Path, server: str) -> Running:
    """`rapport run`, with its server gone from when the flow has begun: until then it waits for the business's state."""
    state = small_firm(folder).parent / "state"
    state.mkdir()
    command = ["run", "--config", "firm.yaml", "--as-of", "2026-02-27", "--wait", "2m"]
    with forwarder(server) as (address, cut), ExitStack() as lock:
        lock.enter_context(held(state / "lock", "the state", "test", datetime.now(UTC)))
        with rapport(folder, command, PREFECT_API_URL=f"{address}/api", PREFECT_CLIENT_MAX_RETRIES="2") as running:
            running.line("Beginning flow run")
            cut()
            lock.close()
            running.process.wait(WAIT_SECONDS)
    return running


def cancelled_at_work(client, run_id: UUID) -> float:
    """Cancels a run while DuckDB is at work for it, and gives how many seconds that took."""
    at_stage(client, run_id, "check incoming")
    time.sleep(2)
    asked_at = time.monotonic()
    cancel(client, run_id)
    ended(client, run_id)
    return time.monotonic() - asked_at


def killed_at_work(client, running: Running, run_id: UUID) -> None:
    """Kills the process of a run as soon as it is at work."""
    at_stage(client, run_id, "check incoming")
    (process,) = flow_processes(running)
    os.kill(process, signal.SIGKILL)


def flow_processes(running: Running) -> list[int]:
    """The processes of flow runs among those that a command started."""
    return [each for each in running.processes() if b"prefect.engine" in Path(f"/proc/{each}/cmdline").read_bytes()]


def without_its_worker(folder: Path, client, api: str) -> UUID:
    """A run whose worker, one of its own, was killed together with it."""
    state = small_firm(folder).parent / "state"
    state.mkdir()
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name="doomed", type="process", base_job_template=template))
    command = [sys.executable, "-m", "prefect"]
    with temporary_settings({PREFECT_API_URL: api}):
        doomed = RunnerDeployment.from_flow(
            segment_accounts,
            "doomed",
            parameters={"business": "firm"},
            enforce_parameter_schema=False,  # its choice of businesses is that of this process, not of the worker
            work_pool_name="doomed",
            job_variables={"working_dir": str(folder), "command": f"{sys.executable} -m prefect.engine"},
            entrypoint_type=EntrypointType.MODULE_PATH,
        ).apply()
    run_id = client.create_flow_run_from_deployment(doomed).id
    worker = [*command, "worker", "start", "--pool", "doomed", "--type", "process"]
    with (
        held(state / "lock", "the state", "test", datetime.now(UTC)),
        at_work(folder, worker, PREFECT_API_URL=api, RAPPORT_CONFIG_DIR=str(folder)) as running,
    ):
        until(lambda: client.read_flow_run(run_id).state.is_running(), "the run that is to be lost")
        (flow,) = flow_processes(running)
        for each in (running.process.pid, flow):
            os.kill(each, signal.SIGKILL)
    return run_id


def with_a_password(folder: Path) -> tuple[list[str], int, int]:
    """`rapport serve` with a password: what it said, and what it answers without and with that."""
    with rapport(folder, ["serve", "--config", "firm.yaml"], PREFECT_SERVER_API_AUTH_STRING="night:watch") as running:
        asked = f"{running.line('Prefect server: ')}/api/flows/count"
        running.line("Deployments: ")
        return (
            running.lines,
            httpx.post(asked).status_code,
            httpx.post(asked, auth=("night", "watch")).status_code,
        )


def with_a_temporary_server(folder: Path) -> tuple[Running, Running]:
    """`rapport run --prefect`: with a file missing, and then told to end while it is at work."""
    command = ["run", "--config", "firm.yaml", "--prefect"]
    (folder / "orders.csv").unlink()
    with rapport(folder, command) as refused:
        refused.process.wait(WAIT_SECONDS)
    small_firm(folder)
    with rapport(folder, command) as ended:
        ended.line("Beginning flow run")
    return refused, ended


def firm_with_a_database(folder: Path, database: Path) -> Path:
    """A small firm with a copy of a Prefect database: making a new one takes ten seconds."""
    prefect = small_firm(folder).parent / ".rapport/prefect"
    prefect.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as its, closing(sqlite3.connect(prefect / "prefect.db")) as ours:
        its.backup(ours)
    return folder


@dataclass(frozen=True)
class Meanwhile:
    """What takes its time, and goes on beside the tests: runs by the worker, commands in folders of their own."""

    form: UUID
    day: UUID
    killed: UUID
    large: UUID
    cancelled: Future[float]
    without_its_server: Future[Running]
    with_a_temporary_server: Future[tuple[Running, Running]]
    without_its_worker: Future[UUID]
    with_a_password: Future[tuple[list[str], int, int]]


@pytest.fixture(scope="session")
def meanwhile(served, tmp_path_factory) -> Generator[Meanwhile]:
    folder = tmp_path_factory.mktemp("commands")
    ours = temporary_settings({PREFECT_API_URL: served.api})
    with ThreadPoolExecutor(8) as pool, ours, get_client(sync_client=True) as client:
        # before there are runs, so that no other worker finds them
        alone = firm_with_a_database(folder / "alone", served.database)
        guarded = firm_with_a_database(folder / "guarded", served.database)
        hurry(client, MISSED)
        form = started(client, "ad-hoc", as_of="2026-01-31")
        day = started(client, "nightly", as_of="2026-02-30")
        killed = started(client, "ad-hoc", business="large", as_of="2026-02-10")
        large = started(client, "ad-hoc", business="large", as_of="2026-02-11")
        pool.submit(killed_at_work, client, served.running, killed)
        yield Meanwhile(
            form,
            day,
            killed,
            large,
            pool.submit(cancelled_at_work, client, large),
            pool.submit(without_its_server, folder / "away", served.address),
            pool.submit(with_a_temporary_server, alone),
            pool.submit(without_its_worker, folder / "doomed", client, served.api),
            pool.submit(with_a_password, guarded),
        )


@pytest.fixture
def at_the_firm(served, monkeypatch, tmp_path, meanwhile) -> Path:
    """A small firm's business file in a working directory of its own."""
    file = small_firm(tmp_path / "firm")
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("RAPPORT_CONFIG_DIR", str(file.parent))
    return file
