"""What takes its time goes on beside the tests, from the first one that needs any of it."""

import sqlite3
import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.lock import held
from tests.end_to_end.runs import at_stage, cancel, ended, hurry, started
from tests.end_to_end.serving import Running, forwarder, rapport, small_firm

MISSED = "rapport: firm, a night that was not published"


def without_its_server(folder: Path, server: str) -> Running:
    """`rapport run`, with its server gone from when the flow has begun: until then it waits for the business's state."""
    state = small_firm(folder).parent / "state"
    state.mkdir()
    command = ["run", "--config", "firm.yaml", "--as-of", "2026-02-27", "--wait", "2m"]
    with forwarder(server) as (address, cut), ExitStack() as lock:
        lock.enter_context(held(state / "lock", "the state", "test", datetime.now(UTC)))
        with rapport(folder, command, PREFECT_API_URL=f"{address}/api", PREFECT_CLIENT_MAX_RETRIES="1") as running:
            running.line("Beginning flow run", within_seconds=120)
            cut()
            lock.close()
            running.process.wait(120)
    return running


def cancelled_at_work(client, run_id: UUID) -> float:
    """Cancels a run while DuckDB is at work for it, and gives how many seconds that took."""
    at_stage(client, run_id, "check incoming", within_seconds=240)
    time.sleep(2)
    asked_at = time.monotonic()
    cancel(client, run_id)
    ended(client, run_id)
    return time.monotonic() - asked_at


def with_a_temporary_server(folder: Path, database: Path) -> Running:
    """`rapport run --prefect`, with a file missing."""
    small_firm(folder).with_name("orders.csv").unlink()
    prefect = folder / ".rapport/prefect"
    prefect.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as its, closing(sqlite3.connect(prefect / "prefect.db")) as ours:
        its.backup(ours)  # making a new one takes ten seconds
    with rapport(folder, ["run", "--config", "firm.yaml", "--prefect"]) as running:
        running.process.wait(240)
    return running


@dataclass(frozen=True)
class Meanwhile:
    """What takes its time, and goes on beside the tests: runs by the worker, commands in folders of their own."""

    form: UUID
    day: UUID
    large: UUID
    cancelled: Future[float]
    without_its_server: Future[Running]
    with_a_temporary_server: Future[Running]


@pytest.fixture(scope="session")
def meanwhile(served, tmp_path_factory) -> Generator[Meanwhile]:
    folder = tmp_path_factory.mktemp("commands")
    ours = temporary_settings({PREFECT_API_URL: served.api})
    with ThreadPoolExecutor() as pool, ours, get_client(sync_client=True) as client:
        hurry(client, MISSED)
        form = started(client, "ad-hoc", as_of="2026-01-31")
        day = started(client, "nightly", as_of="2026-02-30")
        large = started(client, "ad-hoc", business="large", as_of="2026-01-15")
        yield Meanwhile(
            form,
            day,
            large,
            pool.submit(cancelled_at_work, client, large),
            pool.submit(without_its_server, folder / "away", served.address),
            pool.submit(with_a_temporary_server, folder / "alone", served.database),
        )


@pytest.fixture
def at_the_firm(served, monkeypatch, tmp_path, meanwhile) -> Path:
    """A small firm's business file in a working directory of its own."""
    file = small_firm(tmp_path / "firm")
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("RAPPORT_CONFIG_DIR", str(file.parent))
    return file
