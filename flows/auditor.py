"""Great Expectations in a process of its own, which puts its queries to the connection of this one.

Its import takes seconds. They pass beside the first stages of a run, where `start` is called as the run begins.
"""

import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

import duckdb

from config.errors import GateRefused

UNUSED = ("altair", "scipy.stats")
"""What Great Expectations imports for its charts and for checks of distributions: a third of its own import."""

_TURN = threading.Lock()  # two threads of this process do not talk on one line at a time


@cache
def start() -> tuple[subprocess.Popen[bytes], Connection]:
    """Starts the process where none runs, and gives it with the line to it. It ends when this one does, kill -9 included."""
    ours, theirs = Pipe()
    with theirs:
        line = theirs.fileno()
        # -P, so that a folder `flows` where the run was started does not stand for ours
        command = [sys.executable, "-P", "-m", __name__, str(line)]
        process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[line],
            start_new_session=True,  # for Ctrl-C is this process's to answer
        )
    return process, ours


def validate(
    con: duckdb.DuckDBPyConnection, table: str, expectations: Sequence[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """What `flows.gx_duckdb.validate` finds on a connection of this process.

    Raises:
        GateRefused: the process came to an end; the next audit starts another.
    """
    with _TURN:
        process, line = start()
        try:
            line.send((table, expectations))
            while isinstance(asked := line.recv(), tuple):
                line.send(_answer(con, *asked))
        except BaseException as error:
            start.cache_clear()  # what is left unsaid on this line would be taken for an answer to the next question
            if not isinstance(error, EOFError | OSError):
                raise
            code = process.wait()
            raise GateRefused(
                f"audit of {table}: the process of Great Expectations came to an end, code {code}. Nothing was published; "
                "the tables of the last run stand. Run again; if it ends again by -9, memory ran out."
            ) from error
    return asked


def _answer(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any]) -> Any:
    try:
        con.execute(sql, parameters)
        return [(column[0],) + (None,) * 6 for column in con.description], con.fetchall()
    except duckdb.Error as error:
        return error


class _OnDemand(ModuleType):
    """Stands for a module until something of it is used. importlib's own `LazyLoader` loads at a second import already."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Asking:
    """A connection of the process at the other end of the line, as far as audits use one."""

    description: list[tuple[Any, ...]] | None = None

    def __init__(self, line: Connection):
        self._line = line

    def execute(self, sql: str, parameters: Any = None, /) -> None:
        self._line.send((sql, parameters))
        answer = self._line.recv()
        if isinstance(answer, duckdb.Error):
            raise answer
        self.description, self._rows = answer

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


def main(line: Connection) -> None:
    """Audits what it is asked to until the other end hangs up."""
    threading.Thread(target=_end_with_the_other, args=(line.fileno(),), daemon=True).start()
    gc.disable()  # the search for garbage would be a quarter of the import
    for name in UNUSED:
        sys.modules[name] = _OnDemand(name)
    from flows.gx_duckdb import validate

    gc.freeze()
    gc.enable()
    while True:
        try:
            table, expectations = line.recv()
        except EOFError:
            return
        line.send(validate(_Asking(line), table, expectations))


def _end_with_the_other(line: int) -> None:
    """Ends this process where the other end hangs up before it asked for anything: an import takes no notice of that."""
    with socket.socket(fileno=os.dup(line)) as heard:
        if not heard.recv(1, socket.MSG_PEEK):
            os._exit(0)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
