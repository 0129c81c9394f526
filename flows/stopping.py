"""A run that is cancelled stops within seconds, whatever it is computing."""

import os
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal

END_SECONDS = 2.5  # the worker looks after 3 whether the process is gone, and then after 6


@contextmanager
def stoppable() -> Generator[None]:
    """Ends a stage when its process is told to end, as Prefect does to cancel a run.

    DuckDB notices the signal, but raises an error of its own in place of Prefect's, and Great Expectations takes that for
    a check that it could not evaluate. So the signal is remembered, and raised when the stage ends, however it ended.
    DuckDB finishes the rows that it has in hand first, and Polars notices no signal at all: a process that is still there
    after some seconds is killed. Either way nothing is lost: a publication is one rename, and the next run starts anew.

    Raises:
        TerminationSignal: the process was told to end.
    """
    asked = threading.Event()
    heard, rung = socket.socketpair()
    rung.setblocking(False)
    listener = threading.Thread(target=_listen, args=(heard, asked), daemon=True)
    listener.start()
    # the interpreter writes to it at the signal itself; a handler in place of Prefect's would be taken for no handler
    before = signal.set_wakeup_fd(rung.fileno())
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        rung.close()
        listener.join()
        if asked.is_set():
            raise TerminationSignal(signal=signal.SIGTERM)


def _listen(heard: socket.socket, asked: threading.Event) -> None:
    with heard:
        while number := heard.recv(1):
            if number[0] == signal.SIGTERM:
                asked.set()
                last_resort = threading.Timer(END_SECONDS, os.kill, (os.getpid(), signal.SIGKILL))
                last_resort.daemon = True
                last_resort.start()
