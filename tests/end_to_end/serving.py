"""A small firm, and `rapport` commands at work for it."""

import json
import os
import queue
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import duckdb

from tests.waiting import WAIT_SECONDS, until

RAPPORT = Path(sysconfig.get_path("scripts"), "rapport")

BUSINESS = """
business: Small firm
timezone: Asia/Tokyo
currency: JPY
sources:
  orders:
    - name: ledger
      kind: files
      path: orders.csv
      columns:
        order_id: number
        account_id: account
        ordered_at: cast(at as timestamp)
        amount: cast(net as decimal(18, 2))
  engagements:
    - name: mail
      kind: files
      path: mail.csv
      columns:
        event_id: id
        account_id: account
        occurred_at: cast(at as timestamp)
        kind: "'email'"
        direction: direction
scoring: scoring/professional_services.yaml
warehouse: {kind: duckdb, path: warehouse.duckdb}
state: state
gates: {quarantined_share: 0.01}
"""
ALERTS = """
alerts: {notify: {env: FIRM_CHANNEL}, published_by: "07:00", stale_days: 30}
"""
ACCOUNTS = 12
FIRST_DAY = date(2024, 1, 1)
WEEKS = 113  # to the end of February 2026


def small_firm(folder: Path, unfit_orders: int = 0) -> Path:
    """Writes a business and its data, which ends in February 2026, and gives its file."""
    folder.mkdir(parents=True, exist_ok=True)
    days = [FIRST_DAY + timedelta(days=7 * week) for week in range(WEEKS)]
    orders = [f"{week},A{week % ACCOUNTS},{day} 10:00,{100 + week % 7}.50" for week, day in enumerate(days)]
    orders += [f"unfit-{number},A1,2025-05-05 10:00," for number in range(unfit_orders)]
    mail = [
        f"{week}-{direction},A{week % 9},{day} 0{hour}:30,{direction}"
        for week, day in enumerate(days)
        for hour, direction in enumerate(("inbound", "outbound"))
    ]
    (folder / "orders.csv").write_text("\n".join(["number,account,at,net", *orders, ""]))
    (folder / "mail.csv").write_text("\n".join(["id,account,at,direction", *mail, ""]))
    (folder / "firm.yaml").write_text(BUSINESS)
    return folder / "firm.yaml"


LARGE = {
    "business: Small firm": "business: Large firm",
    "path: orders.csv": "path: orders.parquet",
    "state: state": "state: large",
    "path: warehouse.duckdb": "path: large.duckdb",
}
LARGE_ORDERS = 1_500_000


def large_firm(folder: Path) -> None:
    """Writes, beside the small firm, a business with so many orders that its stages take their time."""
    text = BUSINESS
    for ours, theirs in LARGE.items():
        text = text.replace(ours, theirs)
    with duckdb.connect() as con:
        con.execute(
            "copy (select range as number, 'A' || range % 200000 as account, "
            "timestamp '2025-01-01 10:00:00' + to_minutes(range % 500000) as at, range % 900 / 10 as net "
            f"from range({LARGE_ORDERS})) to '{folder / 'orders.parquet'}'"
        )
    (folder / "large.yaml").write_text(text)


@dataclass
class Running:
    """A `rapport` command at work in a folder, and the lines that it printed.

    Attributes:
        folder: its working directory.
        process: its process.
        mark: a variable in its environment, and in that of each process that it starts.
        lines: what it has printed so far.
    """

    folder: Path
    process: subprocess.Popen[str]
    mark: str
    lines: list[str] = field(default_factory=list)
    _new: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)

    def line(self, text: str) -> str:
        """Waits for a line with this text, and gives the rest of it."""
        deadline = time.monotonic() + WAIT_SECONDS
        with suppress(queue.Empty):
            while (found := self._new.get(timeout=max(0, deadline - time.monotonic()))) is not None:
                if text in found:
                    return found.partition(text)[2].strip()
        raise AssertionError("\n".join([f"it did not say {text!r}, but:", *self.lines]))

    def read(self) -> None:
        assert self.process.stdout
        for text in self.process.stdout:
            self.lines.append(text.rstrip())
            self._new.put(text.rstrip())
        self._new.put(None)

    def processes(self) -> list[int]:
        """The command and what it started, however it is called, as far as it is still there."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        try:
            return f"{self.mark}\0".encode() in (entry / "environ").read_bytes()
        except OSError:
            return False


@contextmanager
def rapport(folder: Path, arguments: Sequence[str], **environment: str) -> Generator[Running]:
    """Starts `rapport` in a folder, as `at_work` does."""
    with at_work(folder, [str(RAPPORT), *arguments], **environment) as running:
        yield running


@contextmanager
def at_work(folder: Path, command: Sequence[str], **environment: str) -> Generator[Running]:
    """Starts a command in a folder, without this process's Prefect settings; ends it, and sees that nothing is left."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "RAPPORT"))}
    mark = uuid4().hex
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=ours | {"RAPPORT_TEST": mark} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(folder, process, f"RAPPORT_TEST={mark}")
    reader = threading.Thread(target=running.read, daemon=True)
    reader.start()
    try:
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        deadline = time.monotonic() + 10
        while (left := running.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for each in left:
            os.kill(each, signal.SIGKILL)
        reader.join(10)
    assert not left, f"these outlived {command}: {left}"


@contextmanager
def forwarder(address: str, refused: bytes | None = None) -> Generator[tuple[str, Callable[[], None]]]:
    """Another address for a server, and the function that cuts the connection for good.

    Requests with the refused bytes do not reach the server: their connection ends.
    """
    host, port = address.removeprefix("http://").split(":")
    listener = socket.create_server((host, 0))
    ends: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while (data := source.recv(65_536)) and not (refused and refused in data):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection((host, int(port)))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    def cut() -> None:
        for each in (listener, *ends):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}", cut
    finally:
        cut()


@dataclass(frozen=True)
class Channel:
    """A receiver of notifications: its address as apprise writes it, and the messages that came, as JSON says them."""

    address: str
    messages: list[dict[str, str]]

    def told(self, text: str, about: str = "") -> str:
        """Waits for a message whose title has this text, and its body what it is about, and gives its body."""

        def look() -> str | None:
            bodies = (each["message"] for each in self.messages if text in each["title"])
            return next((body for body in bodies if about in body), None)

        return until(look, f"a message with {text!r} about {about!r} among {self.messages}")


@contextmanager
def channel() -> Generator[Channel]:
    """A receiver of notifications on this machine."""
    messages: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Channel(f"json://127.0.0.1:{server.server_port}/told", messages)
        server.shutdown()
