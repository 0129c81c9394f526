"""`rapport serve`: a Prefect server with the deployments, and a worker that runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from config.errors import ConfigurationError, RapportError
from flows.deployments import POOL, deployments
from flows.runs import CONFIG_DIRECTORY

WORKER = ("worker", "start", "--pool", POOL, "--type", "process", "--limit", "1")

PREFECT_FILES = Path(".rapport/prefect")
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # in memory a lease is lost with the server, and its slot would be taken for ever
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}

START_SECONDS = 120
END_SECONDS = 45  # the worker gives its run 30
LOOK_SECONDS = 0.2


def prepare_environment() -> None:
    """Sets what the user has not: no telemetry, and, where no server is named, Prefect's files below `.rapport`."""
    settings = dict(SETTINGS)
    if "PREFECT_API_URL" not in os.environ:
        PREFECT_FILES.mkdir(parents=True, exist_ok=True)
        settings["PREFECT_HOME"] = str(PREFECT_FILES.resolve())
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def serve(config: Path | None, port: int | None) -> None:
    """Registers the deployments and works until it is interrupted; then ends every process that it started.

    Without PREFECT_API_URL in the environment a Prefect server is started, which only this machine can reach.

    Args:
        config: the business file; without it, those that the deployments name.
        port: the server's port; without it, any that is free.

    Raises:
        RapportError: the server or the worker did not start, or ended by itself.
    """
    if config:
        os.environ[CONFIG_DIRECTORY] = str(config.resolve().parent)
    chosen = deployments(config)
    prepare_environment()
    asked: list[int] = []
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # an exception could come between the start of a process and the block that ends it
        signal.signal(each, lambda number, _: asked.append(number))
    with suppress(KeyboardInterrupt), ExitStack() as started:
        processes = {}
        if "PREFECT_API_URL" not in os.environ:
            if "PREFECT_SERVER_API_AUTH_STRING" in os.environ:
                os.environ.setdefault("PREFECT_API_AUTH_STRING", os.environ["PREFECT_SERVER_API_AUTH_STRING"])
            processes["server"] = started.enter_context(_server(port, asked))
            print(f"Prefect server: {os.environ['PREFECT_API_URL'].removesuffix('/api')}", flush=True)
        from flows.registration import register  # with Prefect, which reads the settings above when it is imported

        notes = register(chosen)
        for line in [*notes, f"Deployments: {', '.join(each.name for each in chosen)}. Ctrl-C ends everything."]:
            print(line, flush=True)
        processes["worker"] = started.enter_context(_running(WORKER, output=None))
        while all(process.poll() is None for process in processes.values()):
            _pause(asked)
        ended = next(name for name, process in processes.items() if process.poll() is not None)
        raise RapportError(f"the Prefect {ended} ended by itself, and so all was ended. Start it again.")


@contextmanager
def _server(port: int | None, asked: Sequence[int]) -> Generator[subprocess.Popen[bytes]]:
    """A Prefect server of this machine alone, which answers when this gives it, its address in the environment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise ConfigurationError(f"port {port}: {error.strerror}. Choose another, or leave it out.") from error
        port = probe.getsockname()[1]
    os.environ["PREFECT_SERVER_API_HOST"] = "127.0.0.1"
    os.environ["PREFECT_SERVER_API_PORT"] = str(port)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    log = Path(os.environ["PREFECT_HOME"], "server.log")
    print(f"A Prefect server is starting; its log is {log}", flush=True)
    with log.open("ab") as output, _running(("server", "start"), output) as process:
        deadline = time.monotonic() + START_SECONDS
        while not _answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RapportError(f"the Prefect server did not start; {log} says why. Nothing was registered.")
            _pause(asked)
        yield process


def _pause(asked: Sequence[int]) -> None:
    """Waits a moment, and ends the command where a signal has asked for that."""
    time.sleep(LOOK_SECONDS)
    if asked:
        raise KeyboardInterrupt


def _answers() -> bool:
    try:
        with urlopen(f"{os.environ['PREFECT_API_URL']}/health") as answer:  # noqa: S310 - our own http address
            return answer.status == 200
    except URLError:
        return False


@contextmanager
def _running(command: Sequence[str], output: IO[bytes] | None) -> Generator[subprocess.Popen[bytes]]:
    """A Prefect process that ends with the block; of its own session, so that Ctrl-C does not reach it before us."""
    process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
        [sys.executable, "-m", "prefect", *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
