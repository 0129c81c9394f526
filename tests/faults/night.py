"""A process that runs nights and is killed on the way, as each line on its standard input tells it to.

It forks for each command, so that the libraries are loaded once, and answers with a line of JSON: whether the night came
to its end, or the signal that ended it.
"""

import json
import linecache
import os
import re
import signal
import sys
from datetime import date
from pathlib import Path

from flows import ledger, state
from tests.flows.test_nights import STAGES, run_of, sources

TRACED = {ledger.__file__, state.__file__}
OPERATION = re.compile(r'\.(replace|unlink)\(|sync\(|\.execute\(\s*f?"(begin|delete|insert|commit|checkpoint)')


def killed_before_operation(number: int) -> None:
    """Kills itself before the nth line that it comes to with a change of the state."""
    come_to = set()

    def trace(frame, event, _):
        if frame.f_code.co_filename not in TRACED:
            return None
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in come_to and OPERATION.search(linecache.getline(*place)):
            come_to.add(place)
            if len(come_to) == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def answer(command: dict) -> dict:
    child = os.fork()
    if child == 0:
        killed_before_operation(command["operation"])
        run = run_of(sources(Path(command["folder"])), date.fromisoformat(command["as_of"]))
        for stage in STAGES:
            stage(run)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return {"ended": os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, "signal": os.WTERMSIG(status)}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
