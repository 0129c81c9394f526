"""A stage that is told to end ends, whatever it does with the signal; in a process of its own, which that ends too."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from flows.stopping import END_SECONDS
from tests.waiting import WAIT_SECONDS

BEFORE = """
import hashlib, signal, duckdb, flows.stopping
from prefect.exceptions import TerminationSignal
from flows.stopping import stoppable

flows.stopping.END_SECONDS = END

def as_prefect_does(number, frame):
    raise TerminationSignal(signal=number)

def query():
    with duckdb.connect(config={"threads": 1}) as con:
        print("at work", flush=True)
        con.execute("select max(hash(range)) from range(1000000000000)")

signal.signal(signal.SIGTERM, as_prefect_does)
"""
STAGES = {
    "a query": "query()",
    "a query whose error is taken for something else": """
        try:
            query()
        except RuntimeError as error:
            assert str(error) == "Query interrupted"
    """,
}
DEAF = """
print("at work", flush=True)
hashlib.pbkdf2_hmac("sha256", b"deaf", b"to signals", 2**31 - 1)
"""


def stopped(stage: str, end_seconds: float) -> tuple[int, str, float]:
    """Exit code, last line and seconds of a process that was told to end while it was at work on a stage."""
    before = BEFORE.replace("END_SECONDS = END", f"END_SECONDS = {end_seconds}")
    script = f"{before}\nwith stoppable():\n{textwrap.indent(textwrap.dedent(stage).strip(), '    ')}\nprint('went on')"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        time.sleep(0.5)
        began = time.monotonic()
        process.terminate()
        code = process.wait(WAIT_SECONDS)
        return code, process.stdout.read().strip().rpartition("\n")[2], time.monotonic() - began


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_a_stage_ends_with_the_signal_even_where_duckdb_or_an_audit_hides_it(stage):
    code, said, _ = stopped(stage, end_seconds=30)
    assert (code, said) == (1, "prefect.exceptions.TerminationSignal")


def test_a_stage_that_hears_no_signal_is_killed():
    code, _, seconds = stopped(DEAF, END_SECONDS)
    assert code == -signal.SIGKILL
    assert seconds >= END_SECONDS
