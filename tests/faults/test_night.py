"""A night that is killed anywhere leaves a state that the same command completes."""

import shutil
import signal
from collections.abc import Generator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from flows.stages import extract
from tests.faults.killing import Runner, obeying
from tests.flows.test_nights import assert_same, outcome, rebuilt, run_of, sources, write
from tests.rows import engagement, order

pytestmark = pytest.mark.timeout(1800)

FIRST, SECOND = date(2025, 1, 10), date(2025, 2, 11)
MOST_OPERATIONS = 80


@pytest.fixture(scope="module")
def runner() -> Generator[Runner]:
    with obeying("tests.faults.night") as told:
        yield told


def first_night(folder: Path) -> None:
    sold = [order(FIRST - timedelta(days=n), order_id=f"o{n}", account_id="AB"[n % 2], line="law") for n in range(6)]
    said = [
        engagement(FIRST - timedelta(days=n), event_id=f"e{n}", account_id="AB"[n % 2], line="law") for n in range(6)
    ]
    write(folder, "orders", "a", sold)
    write(folder, "engagements", "a", said)


def second_night(folder: Path) -> None:
    """A return, a correction, a late row, a refused one, and a file that lost its last rows."""
    first = order(FIRST, order_id="o0", account_id="A", line="law")
    returned = order(SECOND, order_id="o0", line_number="r", account_id="A", line="law", amount=Decimal(-40))
    corrected = first | {"amount": Decimal(70), "updated_at": datetime(2025, 2, 1)}
    refused = order(SECOND, order_id="o9", reason="unfit")
    write(folder, "orders", "b", [returned, corrected, refused])
    late = engagement(FIRST - timedelta(days=3), event_id="late", account_id="A", line="law", direction="outbound")
    write(folder, "engagements", "b", [late, engagement(SECOND, event_id="new", account_id="C", line="shop")])
    kept = [
        engagement(FIRST - timedelta(days=n), event_id=f"e{n}", account_id="AB"[n % 2], line="law") for n in range(3)
    ]
    write(folder, "engagements", "a", kept)


@pytest.mark.parametrize("is_first", [False, True], ids=["a night", "a state made anew"])
def test_a_night_that_is_killed_anywhere_is_completed_by_the_same_command(runner, tmp_path, is_first):
    first_night(tmp_path)
    if not is_first:
        outcome(run_of(sources(tmp_path), FIRST))
        second_night(tmp_path)
    run = run_of(sources(tmp_path), SECOND)
    extract(run)
    expected = rebuilt(run)
    before = shutil.copytree(tmp_path / "state", tmp_path / "before")
    killed = 0
    for operation in range(1, MOST_OPERATIONS):
        shutil.rmtree(tmp_path / "state")
        shutil.copytree(before, tmp_path / "state")
        answered = runner(folder=str(tmp_path), as_of=SECOND.isoformat(), operation=operation)
        if answered["ended"]:
            break
        assert answered["signal"] == signal.SIGKILL
        killed += 1
        assert_same(outcome(run_of(sources(tmp_path), SECOND)), expected)
    assert killed > 10
    assert answered["ended"]
