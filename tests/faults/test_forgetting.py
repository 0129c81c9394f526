"""To forget an account and be killed anywhere leaves readers all of it or nothing, and the same command finishes it."""

import shutil
import signal
import subprocess
import sys
from contextlib import chdir

import pytest

from flows.forgetting import forget
from tests.end_to_end.over_time import content, night, orders
from tests.end_to_end.test_forgetting import BROKEN, MAIL, NAME, business, of_firm, places, theirs
from tests.waiting import WAIT_SECONDS

pytestmark = pytest.mark.timeout(1800)

MOST_OPERATIONS = 80


def test_to_forget_and_be_killed_anywhere_is_completed_by_the_same_command(tmp_path):
    before, folder = of_firm(tmp_path / "before", [*orders(), *theirs(), BROKEN], MAIL), tmp_path / "firm"
    with chdir(before):
        night(0)
    with_it = content(before)
    shutil.copytree(before, folder)
    with chdir(folder):
        forget(business(), [NAME])
    without_it, killed = content(folder), 0
    for operation in range(1, MOST_OPERATIONS):
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        command = [sys.executable, "-m", "tests.faults.forgetting", str(folder), NAME, str(operation)]
        ended_with = subprocess.run(command, check=False, timeout=WAIT_SECONDS).returncode
        assert content(folder) in (with_it, without_it)
        if ended_with == 0:
            break
        assert ended_with == -signal.SIGKILL
        killed += 1
        with chdir(folder):
            assert forget(business(), [NAME]).left == ()
        assert places(folder) == {}
        assert content(folder) == without_it
    assert killed > 15
    assert ended_with == 0
