"""What this machine, or the container on it, lets a run have: memory, processors, room on the disk."""

import os
import re
import shutil
from pathlib import Path

from config.errors import ConfigurationError
from config.limits import AMOUNT, MEMORY, THREADS
from config.settings import Business

SHARE_OF_MEMORY = 0.6  # for DuckDB; frames and audits need theirs
MIB = 1024**2
CGROUPS = Path("/sys/fs/cgroup")


def memory_limit(business: Business) -> str:
    """Most memory for DuckDB: as the command or the business file says, else a share of what there is."""
    limit = int(SHARE_OF_MEMORY * memory_bytes() / MIB)
    return _named(MEMORY, AMOUNT, "an amount such as 4GB") or business.memory or f"{limit}MiB"


def threads(business: Business) -> int:
    """Most threads for DuckDB: as the command or the business file says, else one a processor."""
    return int(_named(THREADS, r"[1-9]\d{0,3}", "a whole number from 1 to 9999") or business.threads or processors())


def memory_bytes(cgroups: Path = CGROUPS) -> int:
    """The memory that this process may use: the machine's, or less where its container has less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [_number(cgroups / name) for name in ("memory.max", "memory/memory.limit_in_bytes")]
    return int(min([machine, *(limit for limit in limits if limit)]))


def processors(cgroups: Path = CGROUPS) -> int:
    """The processors that this process may use, at least one: those it is bound to, or less where its container has less."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroups / "cpu.max"
    if not quota.is_file():
        return bound
    most, period = quota.read_text().split()
    return bound if most == "max" else max(1, min(bound, int(most) // int(period)))


def require_room(place: Path, needed: int, what_for: str) -> None:
    """Makes sure that there is room on the disk before a run begins to fill it.

    Raises:
        ConfigurationError: there is less than `needed` bytes.
    """
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ConfigurationError(
            f"{place}: {free / MIB:,.0f} MiB are free on this disk, and {what_for} may take {needed / MIB:,.0f} MiB. "
            "Nothing was published. Make room, or give `state` another place."
        )


def _named(name: str, pattern: str, wanted: str) -> str | None:
    """A limit that the environment sets, None where it sets none.

    Raises:
        ConfigurationError: it is none.
    """
    value = os.environ.get(name)
    if value and not re.fullmatch(pattern, value):
        raise ConfigurationError(f"{name}: it is not {wanted}. Nothing was changed. Correct it, or leave it out.")
    return value


def _number(file: Path) -> int | None:
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None
