"""What Prefect adds to a run: the flow on a running server, its heartbeat on, over the same stages called directly.

Run: `uv run python -m tests.benchmarks.prefect_cost [ROUNDS]`
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from config.settings import load
from flows.runs import at_work, new_run, run_stages
from flows.serve import SETTINGS
from tests.end_to_end.serving import rapport, small_firm

FIRST_DAY = date(2026, 1, 1)


def main(rounds: int) -> None:
    """Prints the median of each, the difference, and the load of the machine."""
    with tempfile.TemporaryDirectory() as folder:
        file = small_firm(Path(folder, "firm"))
        with rapport(file.parent, ["serve", "--config", "firm.yaml"]) as running:
            api = f"{running.line('Prefect server: ')}/api"
            running.line("Deployments: ")
            os.environ.update(SETTINGS | {"PREFECT_API_URL": api, "PREFECT_HOME": folder})
            os.environ["RAPPORT_CONFIG_DIR"] = str(file.parent)
            os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
            os.chdir(file.parent)
            from flows.nightly import segment_accounts  # Prefect reads its settings when it is imported

            def directly(day: date) -> None:
                run = new_run(load(file), as_of=day)
                with at_work(run):
                    list(run_stages(run, announce=lambda _: None))

            def by_prefect(day: date) -> None:
                segment_accounts(business="firm", as_of=day)

            days = iter(FIRST_DAY + timedelta(days=number) for number in range(2 * rounds + 2))
            directly(next(days))
            by_prefect(next(days))  # the first of each pays for imports
            pairs = [(_seconds(directly, next(days)), _seconds(by_prefect, next(days))) for _ in range(rounds)]
    alone, flow = (statistics.median(each) for each in zip(*pairs, strict=True))
    added = statistics.median(each[1] - each[0] for each in pairs)
    print(f"stages alone {alone:.2f} s, as a flow {flow:.2f} s; Prefect adds {added:.2f} s (median of {rounds})")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _seconds(run: Callable[[date], None], day: date) -> float:
    began = time.perf_counter()
    run(day)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
