"""What a rebuild and a night cost beside the leanest scan of the same files, and how that grows.

Run: `uv run python -m tests.benchmarks.nights DIRECTORY [MILLIONS] [TIMES] [MEMORY]`: so many million orders and four
times as many events are made below the directory where they are missing; medians of so many times. Several sizes, as in
`1,10,50`, are measured one after the other; then it prints how the cost grows from each to the next.
"""

import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import duckdb

from config.settings import Business
from config.tables import ENGAGEMENTS, ORDERS
from flows import auditor
from flows.runs import at_work, new_run
from flows.stages import STAGES, extract
from tests.benchmarks import generated
from tests.ingest import firm, source

GB = 1024**3
FLOOR = {
    "orders": "select account_id, line, count(*), sum(amount), min(ordered_at), max(ordered_at) from '{}' group by all",
    "engagements": "select account_id, line, kind, direction, count(*), max(occurred_at) from '{}' group by all",
}


def main(directory: Path, sizes: list[float], times: int, memory: str | None) -> None:
    """Prints what each size costs, and how that grows."""
    costs = [_of_size(directory, millions, times, memory) for millions in sizes]
    for (less, before), (more, after) in pairwise(zip(sizes, costs, strict=True)):
        grown = ", ".join(f"{what} {after[what] / before[what]:.1f}" for what in before)
        print(f"from {less:g} M to {more:g} M orders, {more / less:g} times as many, the cost grows by: {grown}")


def _of_size(directory: Path, millions: float, times: int, memory: str | None) -> dict[str, float]:
    """Prints the table of stages and the ratios, and gives the CPU seconds of the floor, a rebuild and a night."""
    folder = directory / f"{millions:g}"
    if not (folder / "files").exists():
        generated.main(folder / "files", int(millions * 1_000_000))
    for leftover in ("state", "before"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    for night in folder.glob("files/*/night.parquet"):
        night.unlink()
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    floor = median(_measured("floor", folder, memory)[0]["cpu"] for _ in range(times))
    print(f"{millions:g} M orders and {4 * millions:g} M events: the floor is {floor:.1f} CPU-s", flush=True)
    _measured("land", folder, memory)
    rebuilds = [_measured("rebuild", folder, memory) for _ in range(times)]
    full = _told("rebuild", rebuilds)
    shutil.copytree(folder / "state", folder / "before/state")
    shutil.copy(folder / "warehouse.duckdb", folder / "before/warehouse.duckdb")
    generated.night(folder / "files", int(millions * 1_000_000))
    nights = []
    for _ in range(times):
        shutil.rmtree(folder / "state")
        shutil.copytree(folder / "before/state", folder / "state")
        shutil.copy(folder / "before/warehouse.duckdb", folder / "warehouse.duckdb")
        nights.append(_measured("night", folder, memory))
    night = _told("night", nights)
    print(f"rebuild / floor {full / floor:.1f}; night / rebuild {night / full:.1%}", flush=True)
    shutil.rmtree(folder / "before")
    return {"floor": floor, "rebuild": full, "night": night}


def _told(what: str, runs: list[list[dict]]) -> float:
    """Prints the medians of each stage and gives the CPU seconds of all but reading the files."""
    print(f"{what:15} {'CPU-s':>8} {'wall-s':>8} {'peak GB':>8} {'spilled':>8}  did")
    for stages in zip(*runs, strict=True):
        cpu, wall, peak, spilled = (
            median(each[name] for each in stages) for name in ("cpu", "wall", "peak", "spilled")
        )
        print(f"{stages[0]['stage']:15} {cpu:8.2f} {wall:8.2f} {peak:8.2f} {spilled:8.2f}  {stages[0]['did']}")
    all_cpu = median(sum(each["cpu"] for each in run if each["stage"] != "extract") for run in runs)
    print(f"{'without extract':15} {all_cpu:8.2f}", flush=True)
    return all_cpu


def _measured(what: str, folder: Path, memory: str | None) -> list[dict]:
    """Runs a part in a process of its own and gives what its stages cost."""
    command = [sys.executable, "-m", "tests.benchmarks.nights", what, str(folder), memory or ""]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


def part(what: str, folder: Path, memory: str) -> None:
    """What a process of its own does: the floor, landing, a rebuild, or a night."""
    business = _business(folder, memory)
    if what == "floor":
        with _cost("floor", folder), duckdb.connect(config={"memory_limit": memory} if memory else {}) as con:
            for role, statement in FLOOR.items():
                con.execute(f"create table {role} as {statement.format(folder / 'files' / role / '*.parquet')}")
        return
    last_day = generated.LAST_DAY + timedelta(days=what == "night")
    run = replace(new_run(business, as_of=last_day), accept_change="a benchmark")
    if what != "land":
        auditor.start()
    stages = {"land": [extract], "rebuild": STAGES[1:], "night": STAGES}[what]
    if what == "rebuild":
        for leftover in business.state.glob("state.duckdb*"):
            leftover.unlink()
        (folder / "warehouse.duckdb").unlink(missing_ok=True)
    run.folder.mkdir(parents=True)
    with at_work(run):
        for stage in stages:
            with _cost(stage.__name__, folder) as told:
                told["did"] = stage(run)
    if what != "land":
        _print_auditor()


def _print_auditor() -> None:
    """Prints what the process of Great Expectations cost, beside the stages."""
    process, line = auditor.start()
    line.close()
    process.wait()
    cost = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {"stage": "auditor", "did": "its import and its part in both audits", "wall": 0, "spilled": 0}
    print(json.dumps(told | {"cpu": cost.ru_utime + cost.ru_stime, "peak": cost.ru_maxrss / 1024**2}), flush=True)


@contextmanager
def _cost(stage: str, folder: Path) -> Generator[dict]:
    """Prints what the block cost as a line of JSON."""
    told: dict = {"stage": stage, "did": ""}
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    spilled, done = [0], threading.Event()
    watch = threading.Thread(target=_watch, args=(folder, spilled, done))
    watch.start()
    wall, cpu = time.perf_counter(), time.process_time()
    yield told
    told |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    done.set()
    watch.join()
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    told |= {"peak": int(peak.split()[1]) / 1024**2, "spilled": spilled[0] / GB}
    print(json.dumps(told), flush=True)


def _watch(folder: Path, most: list[int], done: threading.Event) -> None:
    """Keeps the most bytes that DuckDB had in its temporary files."""
    while not done.wait(0.5):
        sizes = []
        for file in folder.glob("state/runs/*/*.tmp/*"):
            try:
                sizes.append(file.stat().st_size)
            except FileNotFoundError:
                continue
        most[0] = max(most[0], sum(sizes))


def _business(folder: Path, memory: str) -> Business:
    orders, engagements = (
        source(f"{folder}/files/{role}/*.parquet", {column.name: column.name for column in table} | more, name=role)
        for role, table, more in (("orders", ORDERS, {}), ("engagements", ENGAGEMENTS, {}))
    )
    del orders["columns"]["currency"]
    warehouse = {"kind": "duckdb", "path": str(folder / "warehouse.duckdb")}
    limits = {"memory": memory} if memory else {}
    return firm(orders, engagements=[engagements], state=str(folder / "state"), warehouse=warehouse, **limits)


if __name__ == "__main__":
    if sys.argv[1] in ("floor", "land", "rebuild", "night"):
        part(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    else:
        given = dict(enumerate(sys.argv[1:]))
        sizes = [float(millions) for millions in given.get(1, "1").split(",")]
        main(Path(given[0]).absolute(), sizes, int(given.get(2, 3)), given.get(3))
