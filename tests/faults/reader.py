"""A process that reads a warehouse over and over until its standard input closes, and then says what it saw."""

import json
import sys
import threading
from pathlib import Path

from tests.packages import seen, whole


def observed(warehouse: Path, every_seconds: float, stop: threading.Event) -> dict:
    reads, wrong, generations = 0, [], set()
    while not stop.wait(every_seconds):
        try:
            run_id, runs, parts = seen(warehouse)
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")
            continue
        reads += 1
        generation = int(run_id.removeprefix("run-"))
        generations.add(generation)
        if (run_id, runs, parts) != whole(run_id, generation):
            wrong.append(f"{run_id}: {runs} {parts}")
    return {"reads": reads, "wrong": wrong, "generations": sorted(generations)}


if __name__ == "__main__":
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print("reading", flush=True)
    print(json.dumps(observed(Path(sys.argv[1]), float(sys.argv[2]), stop)))
