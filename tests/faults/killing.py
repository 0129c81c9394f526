"""Commands that are killed on the way.

A module that obeys does what each line on its standard input tells it. It forks for each, so that the libraries are loaded
once, and answers with a line of JSON: whether the command came to its end, or the signal that ended it.
"""

import json
import linecache
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from typing import Any

Command = dict[str, Any]
Runner = Callable[..., Command]
CHANGE = re.compile(
    r'\.(replace|unlink|rmtree|copyfile)\(|sync\(|\.execute\((command\)|\s*f?"(begin|delete|insert|commit|checkpoint))'
)
"""What a line says that changes what lasts."""


def killed_before_operation(
    number: int, traced: Collection[str], operation: re.Pattern[str] = CHANGE, functions: Collection[str] = ()
) -> set:
    """Kills itself before the nth line that it comes to with an operation, in these files and functions, and counts such lines."""
    come_to = set()

    def trace(frame, event, _):
        code = frame.f_code
        if code.co_filename not in traced or (functions and code.co_name not in functions):
            return None
        place = code.co_filename, frame.f_lineno
        if event == "line" and place not in come_to and operation.search(linecache.getline(*place)):
            come_to.add(place)
            if len(come_to) == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    return come_to


def answer(command: Command, do: Callable[[Command], None]) -> Command:
    child = os.fork()
    if child == 0:
        do(command)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return {"ended": os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, "signal": os.WTERMSIG(status)}


@contextmanager
def obeying(module: str) -> Generator[Runner]:
    """Starts a module that obeys, and gives what tells it a command and waits for the answer."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def told(**command: Any) -> Command:
            print(json.dumps(command), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline() if process.stdout else "")

        try:
            yield told
        finally:
            process.communicate()


def obey(do: Callable[[Command], None]) -> None:
    """Does what each line on the standard input tells, in a process of its own, and answers."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), do)), flush=True)
