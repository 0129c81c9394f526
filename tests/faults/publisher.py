"""A process that publishes and comes to harm on the way, as each line on its standard input tells it to.

It forks for each command, so that the libraries are loaded once, and answers with a line of JSON: what publishing
returned, what it raised, or the signal that ended it.
"""

import json
import os
import re
import resource
import signal
import sys
from pathlib import Path

from config.errors import RapportError
from flows import lock, publishing, warehouse
from tests.faults.killing import killed_before_operation

TRACED = {publishing.__file__, warehouse.__file__, lock.__file__}
OPERATION = re.compile(
    r"\.(replace|unlink|rmtree|copyfile|copyfileobj|chmod|mkdir|open|flock|lockf|truncate|write|flush)\(|sync\("
    r'|\.execute\(f?"(begin|create|alter|comment|delete|update|insert|commit|checkpoint)'
)


def harmed_at_call(function: str, harm: str):
    """Runs a statement of Python before the first line of a function that publishes."""

    def trace(frame, event, _):
        if frame.f_code.co_filename in TRACED and frame.f_code.co_name == function and event == "call":
            sys.settrace(None)
            exec(harm, {"os": os, "signal": signal, "Path": Path, **frame.f_locals})
        return None

    sys.settrace(trace)


def published(command: dict) -> dict:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "file_bytes" in command:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if command["is_fatal"] else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["file_bytes"], command["file_bytes"]))
    operations = killed_before_operation(command.get("operation", 0), TRACED, OPERATION, command.get("functions", []))
    if "function" in command:
        harmed_at_call(command["function"], command["harm"])
    try:
        done = publishing.publish(Path(command["package"]), Path(command["warehouse"]), command.get("wait_seconds", 0))
    except RapportError as error:
        return {"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
    finally:
        sys.settrace(None)
    return {"changed": done.changed, "operations": len(operations)}


def answer(command: dict) -> dict:
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        os.write(sending, json.dumps(published(command)).encode())
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else {"signal": os.WTERMSIG(status)}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
