"""Profiles of Hypothesis: `ci` has the same examples each time; `--hypothesis-profile=nightly` has many new ones.

And what tests of several folders share: a Postgres server, started by the first that needs it.
"""

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import PASSWORD, PASSWORD_VARIABLE, Database, serving

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", deadline=None, max_examples=3_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


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
