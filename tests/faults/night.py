"""A process that runs nights and is killed on the way."""

from datetime import date
from pathlib import Path

from flows import ledger, state
from tests.faults.killing import Command, killed_before_operation, obey
from tests.flows.test_nights import STAGES, run_of, sources

TRACED = {ledger.__file__, state.__file__}


def run_night(command: Command) -> None:
    killed_before_operation(command["operation"], TRACED)
    run = run_of(sources(Path(command["folder"])), date.fromisoformat(command["as_of"]))
    for stage in STAGES:
        stage(run)


if __name__ == "__main__":
    obey(run_night)
