"""How long a test waits for what is to come."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

WAIT_SECONDS = 300  # a busy machine takes its time, and no test is about that


def until(look: Callable[[], Found | None], what: str) -> Found:
    """Looks until there is something to see."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.25)
    raise AssertionError(f"waited {WAIT_SECONDS} s in vain for {what}")
