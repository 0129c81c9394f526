"""Publishing under real faults: kills, full disks, broken logs, locks and readers, all in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pytest

from config.errors import Busy, WarehouseError
from flows.publishing import publish
from flows.warehouse import live
from tests.packages import sealed, seen, whole
from tests.waiting import WAIT_SECONDS

ROOT = Path(__file__).parents[2]


@contextmanager
def process(*arguments: str):
    """A Python process that is gone when the block is left."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def asked(child: subprocess.Popen, question: object) -> dict:
    assert child.stdin and child.stdout
    print(json.dumps(question), file=child.stdin, flush=True)
    return json.loads(child.stdout.readline())


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> list[Path]:
    """Sealed packages of generations 0 to 5, the run's number being its generation."""
    directory = tmp_path_factory.mktemp("packages")
    return [sealed(directory / f"run-{n}", f"run-{n}", n) for n in range(6)]


@pytest.fixture(scope="module")
def yesterday(packages, tmp_path_factory) -> bytes:
    """The file of a warehouse that holds generation 0."""
    warehouse = tmp_path_factory.mktemp("yesterday") / "warehouse.duckdb"
    publish(packages[0], warehouse)
    return warehouse.read_bytes()


@pytest.fixture
def warehouse(tmp_path, yesterday) -> Path:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(yesterday)
    return path


@pytest.fixture(scope="module")
def publisher():
    with process("-m", "tests.faults.publisher") as child:
        yield lambda package, warehouse, **harm: asked(
            child, {"package": str(package), "warehouse": str(warehouse), **harm}
        )


@contextmanager
def readers(warehouse: Path, count: int, every_seconds: float):
    """Processes that read from their start to the block's end; then the list has what they saw."""
    observed: list[dict] = []
    with ExitStack() as stack:
        children = [
            stack.enter_context(process("-m", "tests.faults.reader", str(warehouse), str(every_seconds)))
            for _ in range(count)
        ]
        for child in children:
            assert child.stdout
            assert child.stdout.readline() == "reading\n"
        yield observed
        observed += [json.loads(child.communicate(timeout=WAIT_SECONDS)[0]) for child in children]


OPEN = """
import duckdb, json, sys
con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("open", flush=True)
for line in sys.stdin:
    print(json.dumps(con.execute(json.loads(line)).fetchall(), default=str), flush=True)
"""


@contextmanager
def open_elsewhere(warehouse: Path, mode: str):
    """Another program that has the file open, for `reading` or for `writing`."""
    with process("-c", OPEN, str(warehouse), mode) as child:
        assert child.stdout
        assert child.stdout.readline() == "open\n"
        yield child


def crashed_writer(warehouse: Path, *statements: str) -> None:
    """Another program that wrote to the file and was killed before it had a checkpoint."""
    with open_elsewhere(warehouse, "writing") as child:
        asked(child, "set wal_autocheckpoint = '1TB'")
        for statement in statements:
            asked(child, statement)
        child.send_signal(signal.SIGKILL)
        child.wait(WAIT_SECONDS)


def beside(warehouse: Path) -> set[str]:
    return {path.name.removeprefix(warehouse.name) for path in warehouse.parent.glob(f"{warehouse.name}*")}


CLEAN = {"", ".lock"}
KILLED = {"signal": signal.SIGKILL}


def test_readers_see_one_generation_or_the_next_while_publications_follow_each_other(packages, warehouse):
    with readers(warehouse, 2, 0.01) as observed:
        for package in packages[1:]:
            publish(package, warehouse)
            time.sleep(0.1)
    for reader in observed:
        assert reader["wrong"] == []
        assert len(reader["generations"]) > 2


def left_behind(warehouse: Path) -> frozenset:
    """The files that the next try will find, but for the name in the lock."""
    files = [path for path in warehouse.parent.glob(f"{warehouse.name}*") if path.suffix != ".lock"]
    return frozenset((path.name, path.stat().st_mode, path.read_bytes()) for path in files)


def put_back(warehouse: Path, content: bytes) -> None:
    (warehouse.parent / "put_back").write_bytes(content)
    (warehouse.parent / "put_back").replace(warehouse)


def test_a_kill_before_any_operation_leaves_old_or_new_and_the_next_try_finishes(
    publisher, packages, warehouse, yesterday
):
    left_by_kills, wrecks, operation = [], set(), 0
    with readers(warehouse, 1, 0.3) as observed:
        while publisher(packages[1], warehouse, operation=(operation := operation + 1)) == KILLED:
            left_by_kills.append(seen(warehouse))
            wreck = left_behind(warehouse)
            if wreck not in wrecks:
                wrecks.add(wreck)
                is_old = left_by_kills[-1] == whole("run-0", 0)
                assert publisher(packages[1], warehouse)["changed"] == is_old
                assert seen(warehouse) == whole("run-1", 1)
                assert beside(warehouse) == CLEAN
                put_back(warehouse, yesterday)
    turn = left_by_kills.index(whole("run-1", 1))
    assert left_by_kills == [whole("run-0", 0)] * turn + [whole("run-1", 1)] * (len(left_by_kills) - turn)
    assert turn > 25
    assert len(wrecks) > 5
    assert observed[0]["wrong"] == []
    assert observed[0]["reads"] > 10


@pytest.mark.parametrize("size", [400_000, 1_200_000, 1_800_000, 2_600_000])
def test_a_kill_while_the_database_writes_leaves_yesterday_and_the_next_try_finishes(
    publisher, packages, warehouse, size
):
    assert publisher(packages[1], warehouse, file_bytes=size, is_fatal=True) == {"signal": signal.SIGXFSZ}
    assert seen(warehouse) == whole("run-0", 0)
    assert publisher(packages[1], warehouse)["changed"]
    assert seen(warehouse) == whole("run-1", 1)
    assert beside(warehouse) == CLEAN


@pytest.mark.parametrize("size", [400_000, 1_200_000, 1_800_000, 2_600_000])
def test_a_disk_that_takes_no_more_leaves_yesterday_and_no_rubbish(publisher, packages, warehouse, size):
    refused = publisher(packages[1], warehouse, file_bytes=size, is_fatal=False)
    assert (refused["error"], refused["exit_code"]) == ("WarehouseError", 5)
    assert refused["message"].startswith(f"warehouse {warehouse}: ")
    assert refused["message"].endswith("Readers have the last whole publication. Put that right and try again.")
    assert seen(warehouse) == whole("run-0", 0)
    assert beside(warehouse) == CLEAN


ON_A_SMALL_DISK = """
import os, sys
from pathlib import Path
from config.errors import WarehouseError
from flows.publishing import publish
from tests.packages import seen

disk, packages, filling = Path(sys.argv[1]), sys.argv[2:4], sys.argv[4]
warehouse = disk / "warehouse.duckdb"
publish(Path(packages[0]), warehouse)

def fill(event, arguments):
    # from the instant on that the copy is begun, when the room has been looked at
    if event == "open" and str(arguments[0]).endswith(".next"):
        with (disk / "others").open("wb", buffering=0) as others:
            while True:
                try:
                    others.write(b"x" * 4096)
                except OSError:
                    break
            others.truncate(os.path.getsize(others.name) - warehouse.stat().st_size - 300_000)

if filling == "meanwhile":
    sys.addaudithook(fill)
else:
    (disk / "others").write_bytes(b"x" * 15_000_000)
try:
    publish(Path(packages[1]), warehouse)
except WarehouseError as error:
    print(error)
print(seen(warehouse), sorted(path.name for path in disk.iterdir()))
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0,
    reason="this user may not mount a small disk of its own",
)
@pytest.mark.parametrize(
    ("filling", "says"),
    [
        (
            "before",
            r"\d+ MB are free on its disk, and publishing needs \d+ MB for a copy and the new rows\. Nothing was",
        ),
        ("meanwhile", r".*No space left on device.*\. Readers have the last whole publication\."),
    ],
)
def test_a_full_disk_leaves_yesterday_and_says_so(packages, tmp_path, filling, says):
    # the disk belongs to the process: it is gone with it
    mounted = f'mount -t tmpfs -o size=32m tmpfs "{tmp_path}" && exec "$0" "$@"'
    script = [sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path), str(packages[0]), str(packages[1]), filling]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, *script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    message, rest = done.stdout.split("\n", 1)
    assert re.match(f"warehouse {tmp_path}/warehouse.duckdb: {says}", message)
    assert rest == f"{whole('run-0', 0)} ['others', 'warehouse.duckdb', 'warehouse.duckdb.lock']\n"


def test_a_directory_that_takes_no_files_is_refused(packages, tmp_path):
    # not even root makes a file in /sys
    directory = Path("/sys") if os.geteuid() == 0 else tmp_path
    if directory == tmp_path:
        tmp_path.chmod(0o500)
    with pytest.raises(WarehouseError, match=r"Permission denied|Read-only file system"):
        publish(packages[0], directory / "warehouse.duckdb")


def test_a_program_that_reads_the_file_all_day_blocks_nobody_and_keeps_its_snapshot(packages, warehouse):
    with open_elsewhere(warehouse, "reading") as tool:
        publish(packages[1], warehouse)
        assert asked(tool, "select distinct treatment from rapport.account_segments") == [["generation 0"]]
        assert seen(warehouse) == whole("run-1", 1)


def test_a_program_that_writes_to_the_file_keeps_the_publisher_out(packages, warehouse):
    with open_elsewhere(warehouse, "writing"):
        for use in (lambda: publish(packages[1], warehouse), lambda: live(warehouse)):
            with pytest.raises(Busy) as refused:
                use()
            assert str(refused.value) == (
                f"another program has the warehouse {warehouse} open for writing. Nothing was changed."
                " Close it there, or open it there for reading only."
            )
    assert seen(warehouse) == whole("run-0", 0)
    assert publish(packages[1], warehouse).changed


def test_nobody_begins_to_write_to_the_file_while_it_is_copied(publisher, packages, warehouse, tmp_path):
    write = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table lost as select 1')"
    attempt = f"""
import subprocess, sys
done = subprocess.run([sys.executable, "-c", {write!r}, {str(warehouse)!r}], capture_output=True, text=True)
Path({str(tmp_path / "said")!r}).write_text(done.stderr)
"""
    assert publisher(packages[1], warehouse, function="_change", harm=attempt)["changed"]
    assert "Could not set lock on file" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("is_read", [False, True])
def test_what_a_crashed_writer_had_committed_is_published_too(packages, warehouse, is_read):
    crashed_writer(warehouse, "create table notes as select 'ours' as note")
    assert beside(warehouse) == {"", ".wal"}
    with open_elsewhere(warehouse, "reading") if is_read else ExitStack():
        publish(packages[1], warehouse)
    assert seen(warehouse) == whole("run-1", 1)
    assert duckdb.connect(str(warehouse), read_only=True).execute("from notes").fetchall() == [("ours",)]
    assert beside(warehouse) == CLEAN


def test_a_kill_while_the_writes_of_another_are_taken_over_loses_none_of_them(
    publisher, packages, warehouse, yesterday
):
    crashed_writer(warehouse, "create table notes as select 'ours' as note")
    log = warehouse.with_name("warehouse.duckdb.wal").read_bytes()
    operation = 0
    functions = ["exchange_file", "_clear"]
    while publisher(packages[1], warehouse, operation=(operation := operation + 1), functions=functions) == KILLED:
        assert seen(warehouse) in (whole("run-0", 0), whole("run-1", 1))
        publisher(packages[1], warehouse)
        assert seen(warehouse) == whole("run-1", 1)
        assert duckdb.connect(str(warehouse), read_only=True).execute("from notes").fetchall() == [("ours",)]
        assert beside(warehouse) == CLEAN
        put_back(warehouse, yesterday)
        warehouse.with_name("warehouse.duckdb.wal").write_bytes(log)
    assert operation > 7


@pytest.mark.parametrize("of", ["another file", "an older state of the file"])
def test_a_log_that_does_not_belong_to_the_file_is_moved_away(packages, warehouse, tmp_path, caplog, of):
    log = warehouse.with_name("warehouse.duckdb.wal")
    crashed_writer(warehouse, "create table notes as select 'ours' as note")
    stale = log.read_bytes()
    if of == "another file":
        warehouse.unlink()
        log.unlink()
        publish(packages[0], warehouse)
    else:
        duckdb.connect(str(warehouse)).execute("checkpoint").close()
    log.write_bytes(stale)
    with pytest.raises(WarehouseError, match=r"WAL.*Nothing was changed"):
        live(warehouse)
    publish(packages[1], warehouse)
    assert seen(warehouse) == whole("run-1", 1)
    assert beside(warehouse) == {*CLEAN, ".wal.unusable"}
    assert warehouse.with_name("warehouse.duckdb.wal.unusable").read_bytes() == stale
    assert "warehouse.duckdb.wal does not belong to it" in caplog.text


def test_a_log_whose_file_is_gone_is_moved_away(packages, warehouse):
    crashed_writer(warehouse, "create table notes as select 'ours' as note")
    warehouse.unlink()
    publish(packages[1], warehouse)
    assert seen(warehouse) == whole("run-1", 1)
    assert beside(warehouse) == {*CLEAN, ".wal.unusable"}


def test_a_commit_that_was_rolled_back_is_found_out(publisher, packages, warehouse):
    undone = "import shutil; shutil.copyfile(next_path.with_suffix(''), next_path)"
    refused = publisher(packages[1], warehouse, function="_refuse_difference", harm=undone)
    assert refused["message"] == (
        f"warehouse {warehouse}: read back after the commit, the ledger has no row of run run-1."
        " Nothing of it was made visible. Publish again, and report it if it happens twice."
    )
    assert seen(warehouse) == whole("run-0", 0)
    assert beside(warehouse) == CLEAN


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("delete from rapport.quarantine where position = 1", "quarantine has 2 rows, the package 3"),
        ("update rapport.account_segments set score = 2 where account_id = 'A1'", "account_segments has 11 rows, the"),
    ],
)
def test_rows_that_are_not_the_packages_are_found_out(publisher, packages, warehouse, damage, says):
    harm = f"import duckdb; duckdb.connect(str(next_path)).execute({damage!r}).close()"
    refused = publisher(packages[1], warehouse, function="_refuse_difference", harm=harm)
    assert f"read back after the commit, {says}" in refused["message"]
    assert seen(warehouse) == whole("run-0", 0)
    assert beside(warehouse) == CLEAN


HOLD = """
import os, sys
from datetime import datetime
from pathlib import Path
from flows.lock import held

with held(Path(sys.argv[1] + ".lock"), "the warehouse", "nightly-7", datetime(2026, 2, 1, 2)):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(warehouse: Path):
    with process("-c", HOLD, str(warehouse)) as child:
        assert child.stdout
        assert int(child.stdout.readline()) == child.pid
        yield child


def test_a_second_publisher_is_told_who_holds_the_warehouse(packages, warehouse):
    with held_elsewhere(warehouse) as holder, pytest.raises(Busy) as refused:
        publish(packages[1], warehouse)
    assert str(refused.value) == (
        "another run holds the warehouse (started 2026-02-01 02:00 UTC by run nightly-7, process"
        f" {holder.pid} on {os.uname().nodename}). Nothing was changed. Wait for it, or pass --wait 10m."
    )
    assert refused.value.exit_code == 75
    assert seen(warehouse) == whole("run-0", 0)


def test_a_publisher_waits_as_long_as_it_is_told_to(packages, warehouse):
    with held_elsewhere(warehouse):
        began = time.monotonic()
        with pytest.raises(Busy):
            publish(packages[1], warehouse, wait_seconds=0.5)
        assert time.monotonic() - began >= 0.5


def test_a_publisher_that_waits_goes_on_when_the_other_has_ended(packages, warehouse):
    with held_elsewhere(warehouse) as holder:
        assert holder.stdin
        threading.Timer(0.5, holder.stdin.close).start()
        assert publish(packages[1], warehouse, wait_seconds=30).changed
    assert seen(warehouse) == whole("run-1", 1)


def test_a_killed_holder_holds_nothing(packages, warehouse):
    with held_elsewhere(warehouse) as holder:
        holder.kill()
        holder.wait(WAIT_SECONDS)
        assert publish(packages[1], warehouse).changed


def test_publishers_that_come_at_once_publish_one_after_the_other(packages, warehouse):
    with ExitStack() as stack:
        children = [stack.enter_context(process("-m", "tests.faults.publisher")) for _ in range(3)]
        for child, package in zip(children, packages[1:4], strict=True):
            assert child.stdin
            command = {"package": str(package), "warehouse": str(warehouse), "wait_seconds": 30}
            print(json.dumps(command), file=child.stdin, flush=True)
        assert all(json.loads(child.communicate(timeout=WAIT_SECONDS)[0])["changed"] for child in children)
    with duckdb.connect(str(warehouse), read_only=True) as con:
        runs = con.execute("select run_id from rapport.runs order by published_at").fetchall()
    assert sorted(runs) == [("run-0",), ("run-1",), ("run-2",), ("run-3",)]
    last = runs[-1][0]
    assert seen(warehouse) == whole(last, int(last[-1]))


def test_the_same_package_published_by_two_at_once_is_published_once(packages, warehouse):
    with ExitStack() as stack:
        children = [stack.enter_context(process("-m", "tests.faults.publisher")) for _ in range(2)]
        for child in children:
            assert child.stdin
            command = {"package": str(packages[1]), "warehouse": str(warehouse), "wait_seconds": 30}
            print(json.dumps(command), file=child.stdin, flush=True)
        answers = [json.loads(child.communicate(timeout=WAIT_SECONDS)[0])["changed"] for child in children]
    assert sorted(answers) == [False, True]
    assert seen(warehouse) == whole("run-1", 1)
