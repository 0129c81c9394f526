"""`rapport serve` at work for a small firm: one Prefect server and one worker for all tests that need them."""

import os
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.serving import Running, rapport, small_firm

# Prefect makes this directory when it is imported
os.environ.setdefault("PREFECT_HOME", str(Path(tempfile.gettempdir(), "prefect-of-rapport-tests")))


@dataclass(frozen=True)
class Served:
    """`rapport serve` at work: its server's address, and the folder and file of the small firm that it works for."""

    address: str
    folder: Path
    file: Path
    running: Running

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
    with rapport(folder, ["serve", "--config", "firm.yaml"]) as running:
        address = running.line("Prefect server: ", within_seconds=150)
        running.line("Deployments: ", within_seconds=60)
        yield Served(address, folder, file, running)


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
