"""One run at a time: a lock file that ends with its holder, kill -9 included, and says who holds it."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from config.errors import Busy

POLL_SECONDS = 0.1
LEAST_WAIT_SECONDS = 0.3  # for who only looks whether it is held


@contextmanager
def held(lock: Path, what: str, run_id: str, started_at: datetime, wait_seconds: float = 0) -> Generator[None]:
    """Holds a lock file while the block runs.

    The lock is the operating system's, not the file's being there: it is free as soon as its process is gone.

    Args:
        lock: the file, made if it is missing.
        what: what the lock stands for, as it reads after "another run holds".
        run_id: the run that asks, for the message of those who come too late.
        started_at: when that run began, UTC.
        wait_seconds: how long to wait for another holder; 0 gives up at once.

    Raises:
        Busy: somebody else held it all that time.
    """
    # never unlinked: a process waiting on an unlinked file would get a lock that nobody else sees
    with lock.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + max(wait_seconds, LEAST_WAIT_SECONDS)
        while not _taken(file.fileno()):
            if time.monotonic() >= deadline:
                raise Busy(
                    f"another run holds {what}{_holder(lock)}. Nothing was changed. Wait for it, or pass --wait 10m."
                )
            time.sleep(POLL_SECONDS)
        _write(file, {"run_id": run_id, "started_at": started_at.isoformat(), "pid": os.getpid()})
        try:
            yield
        finally:
            file.truncate(0)


def holder(lock: Path) -> str:
    """Who holds a lock, in brackets; empty where nobody does."""
    if not lock.exists() or not lock.read_text(encoding="utf-8"):
        return ""
    with lock.open(encoding="utf-8") as file:
        # what a holder wrote that was killed stands there still
        return "" if _taken(file.fileno(), fcntl.LOCK_SH) else _holder(lock)


def _taken(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: TextIO, holder: dict[str, str | int]) -> None:
    file.truncate(0)
    file.write(json.dumps(holder | {"host": socket.gethostname()}))
    file.flush()


def _holder(lock: Path) -> str:
    """Who holds it, in brackets; empty in the instant in which the holder has not yet written its name."""
    text = lock.read_text(encoding="utf-8")
    if not text:
        return ""
    holder = json.loads(text)
    started = datetime.fromisoformat(holder["started_at"])
    by = f"by run {holder['run_id']}, process {holder['pid']} on {holder['host']}"
    return f" (started {started:%Y-%m-%d %H:%M} UTC {by})"
