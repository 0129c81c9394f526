"""How a Postgres database is connected to and asked, for tables that are read and for the warehouse."""

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from config.connections import PostgresConnection, secret_value
from config.errors import RapportError

CONNECT_SECONDS = 10
SILENT_SECONDS = 60

AS_TEXT = (
    "set local datestyle = 'ISO'",
    "set local timezone = 'UTC'",
    "set local extra_float_digits = 1",
)
"""So that every value, cast to text, is what it is in the database."""
MESSAGE = b"PG_DIAG_MESSAGE_PRIMARY"
"""Which detail of an error says what is wrong, without the statement and the row."""
ABOUT = {b"PG_DIAG_TABLE_NAME": "table", b"PG_DIAG_COLUMN_NAME": "column", b"PG_DIAG_CONSTRAINT_NAME": "constraint"}
"""Which details name what an error is about."""
SNAPSHOT = "set transaction isolation level repeatable read, read only"


@dataclass(frozen=True)
class Purpose:
    """What a database is wanted for, as errors tell it.

    Attributes:
        where: what wants it, such as role, source and table.
        done: what became of that, a sentence such as "Nothing was read."
        error: what is raised where the database fails.
    """

    where: str
    done: str
    error: type[RapportError]


def driver(purpose: Purpose) -> ModuleType:
    """The library that talks to Postgres.

    Raises:
        RapportError: the purpose's; it is not installed.
    """
    try:
        from adbc_driver_postgresql import dbapi  # only who uses Postgres has it
    except ImportError as error:
        raise purpose.error(
            f"{purpose.where}: Postgres needs the extra 'postgres', which is not installed. {purpose.done} "
            "Install it: uv sync --extra postgres."
        ) from error
    return dbapi


def connected(purpose: Purpose, database: PostgresConnection) -> Any:
    """A connection to a database, in a transaction.

    Raises:
        RapportError: the purpose's; there is no driver or no connection.
        ConfigurationError: the password is not where the business file says.
    """
    postgres = driver(purpose)
    try:
        password = secret_value(database.password).get_secret_value()
    except RapportError as error:
        raise type(error)(f"{purpose.where}: {error} {purpose.done}") from error
    options = {
        "host": database.host,
        "port": database.port,
        "dbname": database.database,
        "user": database.user,
        "password": password,
        "application_name": "rapport",
        "client_encoding": "UTF8",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": SILENT_SECONDS,
        "keepalives_interval": CONNECT_SECONDS,
    }
    try:
        return postgres.connect(" ".join(f"{name}={_quoted(str(value))}" for name, value in options.items()))
    except postgres.Error as error:
        reason = _last(str(error).partition("\n")[0]).replace(password, "...")
    # outside of `except`, so that no traceback shows what the driver said
    raise purpose.error(
        f"{purpose.where}: there is no connection to the database {database.database} on {database.host}, port {database.port} "
        f"({reason}). {purpose.done} Start the server, or correct its host, port, database, user or password in the business file."
    )


def asked(connection: Any, query: str, parameters: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
    """Runs a statement and gives its rows, none where it has none."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []


def said(error: Exception) -> str:
    """What Postgres said is wrong, without values: those stand in double quotes; names of what it is about are told apart."""
    details = {key: value.decode() for key, value in getattr(error, "details", ())}
    message = details.get(MESSAGE) or str(error)
    # of a value of several lines the second quote is on another one
    safe = _last(re.sub('"(.*"|.*$)', '"..."', message.partition("\n")[0]))
    about = ", ".join(f"{what} {details[key]}" for key, what in ABOUT.items() if key in details)
    return f"{safe} ({about})" if about else safe


def _last(line: str) -> str:
    """What Postgres or its library said last, without what the driver puts before it."""
    return re.split(":  | failed: |Failed to connect: ", line)[-1].strip().rstrip(".")


def _quoted(value: str) -> str:
    """A value in a connection string of libpq."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
