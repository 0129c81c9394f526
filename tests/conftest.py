"""Profiles of Hypothesis, and servers for all tests that need them: a Prefect server with a worker, and a Postgres.

Of the profiles, `ci` has the same examples each time; `--hypothesis-profile=nightly` has many new ones.
"""

import os
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from tests.end_to_end.serving import ALERTS, Channel, Running, channel, large_firm, rapport, small_firm
from tests.postgres import PASSWORD, PASSWORD_VARIABLE, Database, serving

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", deadline=None, max_examples=3_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

# Prefect makes this directory when it is imported; each process of pytest has one of its own
HOME = f"prefect-of-rapport-tests{os.environ.get('PYTEST_XDIST_WORKER', '')}"
os.environ.setdefault("PREFECT_HOME", str(Path(tempfile.gettempdir(), HOME)))


SERVED = {"test_alerts.py", "test_flow.py", "test_operating.py", "test_outages.py", "test_retries.py"}
"""The files whose tests need the Prefect server."""


class ByFile(LoadFileScheduling):
    """Gives all tests of a file to one process of pytest, and those of the Prefect server's files to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "served" if Path(file).name in SERVED else file


def pytest_xdist_make_scheduler(config, log) -> ByFile:
    """The processes of `pytest -n 2` share the tests out so."""
    return ByFile(config, log)


@dataclass(frozen=True)
class Served:
    """`rapport serve` at work for a small firm and a large one.

    Attributes:
        address: its server's.
        folder: where it works.
        running: the command.
        channel: what was told to the firm's channel.
    """

    address: str
    folder: Path
    running: Running
    channel: Channel

    @property
    def api(self) -> str:
        return f"{self.address}/api"

    @property
    def database(self) -> Path:
        return self.folder / ".rapport/prefect/prefect.db"


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("served")
    file = small_firm(folder)
    file.write_text(file.read_text() + ALERTS)
    large_firm(folder)
    with channel() as heard, rapport(folder, ["serve", "--config", "firm.yaml"], FIRM_CHANNEL=heard.address) as running:
        address = running.line("Prefect server: ")
        running.line("Deployments: ")
        yield Served(address, folder, running, heard)


@pytest.fixture
def client(served):
    """A client of the server, which the flows that a test runs in this process use too."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_HOME, temporary_settings

    ours = temporary_settings(
        {
            PREFECT_API_URL: served.api,
            PREFECT_HOME: served.folder / "prefect",
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # its thread costs a second a flow
        }
    )
    with ours, get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Database]:
    with serving() as database:
        yield database


@pytest.fixture
def postgres(postgres_server, monkeypatch) -> Database:
    """An empty database, whose password is where its sources look for it."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    postgres_server.empty()
    return postgres_server
